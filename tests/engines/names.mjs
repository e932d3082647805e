// What a script names and does not itself define: what it takes from the platform it runs on.

/** Of a script's syntax tree as acorn makes it: `{ globals, properties }`, each a sorted list. Dynamic access is not seen. */
export function foreignNames(tree) {
  const globals = new Set();
  const read = new Set();
  const own = new Set();
  visit(tree, [namesOf(tree)]);
  return { globals: [...globals].sort(), properties: [...read].filter((name) => !own.has(name)).sort() };

  function visit(node, scopes) {
    switch (node.type) {
      case "FunctionDeclaration":
      case "FunctionExpression":
        return visit(node.body, [...scopes, namesOf(node)]);
      case "CatchClause":
        return visit(node.body, [...scopes, new Set([node.param.name])]);
      case "Identifier":
        if (!scopes.some((scope) => scope.has(node.name))) globals.add(node.name);
        return undefined;
      case "MemberExpression":
        visit(node.object, scopes);
        if (node.computed) visit(node.property, scopes);
        else read.add(node.property.name);
        return undefined;
      case "Property":
        own.add(node.key.name ?? node.key.value);
        return visit(node.value, scopes);
      case "AssignmentExpression":
        // To set what an engine does not know does no harm there.
        if (node.left.type === "MemberExpression" && !node.left.computed) own.add(node.left.property.name);
        return children(node).forEach((child) => visit(child, scopes));
      case "LabeledStatement":
        return visit(node.body, scopes);
      case "BreakStatement":
      case "ContinueStatement":
        return undefined;
      default:
        return children(node).forEach((child) => visit(child, scopes));
    }
  }
}

/** What a function, or the whole script, declares: ES5 has no narrower scope. */
function namesOf(scope) {
  const names = new Set(["arguments", scope.id?.name, ...(scope.params ?? []).map(({ name }) => name)]);
  const declare = (node) => {
    if (node.type === "VariableDeclarator") names.add(node.id.name);
    if (node.type === "FunctionDeclaration") names.add(node.id.name);
    if (!/^Function/.test(node.type)) children(node).forEach(declare);
  };
  children(scope.type === "Program" ? scope : scope.body).forEach(declare);
  return names;
}

function children(node) {
  return Object.values(node).flat().filter((value) => typeof value?.type === "string");
}
