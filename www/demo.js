// What the pages that play have in common: where the edge is, and the form that says who watches what.

const element = (id) => document.getElementById(id);

/** Where the edge is that the origin works with. */
export async function edgeUrl() {
  const response = await fetch("api/v1/config");
  if (!response.ok) throw new Error(`the origin answered ${response.status} for its configuration`);
  const { edge_url } = await response.json();
  if (!edge_url) throw new Error("the origin knows no edge; start it with --edge NAME=URL");
  return edge_url;
}

/** Fills in the form as the address says, and calls `watch` when it is submitted. */
export function prepareForm(watch) {
  const query = new URLSearchParams(location.search);
  element("profile").value = query.get("profile") ?? `viewer-${Math.random().toString(36).slice(2, 8)}`;
  if (query.has("title")) element("title").value = query.get("title");
  element("choice").addEventListener("submit", (event) => {
    event.preventDefault();
    watch();
  });
}

/** What the page does, for people and in `body[data-state]` for tests: idle, ad, content or done. */
export function setState(state, words) {
  document.body.dataset.state = state;
  element("status").textContent = words;
  element("adline").hidden = state !== "ad";
  element("video").controls = state === "content" || state === "done";
}

/** Waits for what the page needs, then lets it be played. */
export async function getReady(need) {
  try {
    const ready = await need();
    setState("idle", "Ready");
    element("play").disabled = false;
    return ready;
  } catch (error) {
    setState("idle", `Cannot start: ${error.message}`);
    return undefined;
  }
}
