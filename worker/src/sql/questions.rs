//! The questions that are shipped, in `worker/sql/`.

use slotkeeper_query::Question;

macro_rules! questions {
    ($($name:literal),* $(,)?) => {
        /// Their names and their SQL.
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../sql/", $name, ".sql")))),*];
    };
}

questions![
    "fill",
    "unfilled",
    "at-risk",
    "liability",
    "cap-onset",
    "money-on-the-table",
    "revenue",
    "reach",
    "completion",
    "discrepancy",
    "session",
    "conservation",
];

/// All of them.
pub fn all() -> Vec<Question> {
    let read = |(name, sql): &(&str, &str)| {
        Question::read(name, sql).unwrap_or_else(|fault| unreachable!("a test reads them all: {fault}"))
    };
    FILES.iter().map(read).collect()
}

/// The one of this name.
pub fn named(name: &str) -> Option<Question> {
    all().into_iter().find(|question| question.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_says_what_it_answers_with_what_and_in_which_columns() {
        for question in all() {
            let name = &question.name;
            assert!(!question.title.is_empty() && question.answers.ends_with('.'), "{name}");
            assert!(!question.columns.is_empty(), "{name}");
            for parameter in &question.parameters {
                assert!(!parameter.about.is_empty(), "{name}: {}", parameter.name);
                assert!(question.sql.contains(&format!("${}", parameter.name)), "{name}: {}", parameter.name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_a_question() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        let mut names: Vec<String> = all().into_iter().map(|question| question.name).collect();
        names.sort();
        assert_eq!(files, names);
    }
}
