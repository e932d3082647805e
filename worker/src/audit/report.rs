//! What an audit found.

use std::fmt::Display;

use serde::Serialize;

/// How many findings of one law are listed; all are counted.
pub const FINDINGS_LISTED_MAX: usize = 20;

/// Everything an audit has to say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How far the log was folded, which is how far it was audited.
    pub log_seq: u64,
    /// Law by law.
    pub laws: Vec<Law>,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.laws.iter().all(|law| law.found == 0)
    }

    /// How many findings there are of a kind.
    pub fn found(&self, kind: &str) -> usize {
        self.laws.iter().flat_map(|law| &law.findings).filter(|finding| finding.kind == kind).count()
    }
}

/// What was found of one law.
#[derive(Debug, Serialize)]
pub struct Law {
    /// Its number in the design.
    pub law: u8,
    /// Its name.
    pub name: &'static str,
    /// What was looked at.
    pub checked: String,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
    /// How many findings there are.
    pub found: u64,
    /// The first [`FINDINGS_LISTED_MAX`] of them.
    pub findings: Vec<Finding>,
}

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name.
    pub kind: &'static str,
    /// The slot, break, viewer or row that it is about.
    pub subject: String,
    /// What is, and what should be.
    pub message: String,
}

impl Law {
    pub(super) fn new(law: u8, name: &'static str) -> Self {
        Self { law, name, checked: String::new(), notes: vec![], found: 0, findings: vec![] }
    }

    /// Counts a finding, and lists it while there is room.
    pub(super) fn finds(&mut self, kind: &'static str, subject: impl Display, message: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < FINDINGS_LISTED_MAX {
            self.findings.push(Finding { kind, subject: subject.to_string(), message: message.into() });
        }
    }

    pub(super) fn note(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.notes.push(format!("{count} {what}"));
        }
    }
}
