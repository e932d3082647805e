//! `slotkeeper ask`.

use std::process::ExitCode;

use clap::Args;
use slotkeeper::{say, sql::questions};
use slotkeeper_query::Question;

use super::sql::Asking;
use crate::table;

#[derive(Args)]
pub(crate) struct Ask {
    /// The question's name
    #[arg(value_name = "NAME", required_unless_present = "list")]
    name: Option<String>,
    /// List the questions; of one that is named, say what it is asked with and what it answers
    #[arg(long)]
    list: bool,
    /// Print the question's SQL instead of asking it
    #[arg(long, conflicts_with = "list")]
    sql: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Ask {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Some(name) = &self.name else {
            let rows: Vec<_> = questions::all().into_iter().map(|one| [one.name, one.title, one.answers]).collect();
            table::print(["name", "title", "what it answers"], &rows);
            return Ok(ExitCode::SUCCESS);
        };
        let Some(question) = questions::named(name) else {
            let names: Vec<String> = questions::all().into_iter().map(|one| one.name).collect();
            anyhow::bail!("there is no question {name:?}; there are {}", names.join(", "));
        };
        if self.list {
            describe(&question);
            return Ok(ExitCode::SUCCESS);
        }
        if self.sql {
            say!("{}", question.sql.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        self.asking.ask(&question)
    }
}

fn describe(question: &Question) {
    say!("{}: {}", question.title, question.answers);
    if !question.parameters.is_empty() {
        say!("\nasked with --param NAME=VALUE:");
    }
    for one in &question.parameters {
        let default = match &one.default {
            Some(default) => format!(" [default: {default}]"),
            None if one.is_required => " [required]".into(),
            None => String::new(),
        };
        say!("    {:16} {} ({}){default}", one.name, one.about, one.kind.says());
    }
    say!("\nanswers:");
    for (name, about) in &question.columns {
        say!("    {name:22} {about}");
    }
}
