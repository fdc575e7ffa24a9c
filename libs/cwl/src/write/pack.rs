//! A document with everything that it runs in one file: a `$graph` in which each process stands once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::processes;
use crate::{Document, Process};

/// The process that a `$graph` starts with (CWL v1.2 "Packed documents").
const MAIN: &str = "main";

impl Document {
    /// The document as one that names no other file. What it imports, includes and runs is part of it: the process
    /// itself as `main`, each process that steps run once, under its own id where that is free. Packing what is packed
    /// changes nothing.
    ///
    /// Locations of files in defaults stay as they are: see [`Document::named_files`].
    pub fn pack(&self) -> Value {
        let mut graph = Graph::default();
        graph.add(self.process(), MAIN);
        let processes = graph.processes.iter().map(|process| {
            let mut map = processes::process(process, &|step| {
                format!("#{}", graph.names[&Arc::as_ptr(&step.run)]).into()
            });
            map.insert(
                "id".to_owned(),
                graph.names[&Arc::as_ptr(process)].as_str().into(),
            );
            Value::Object(map)
        });
        let mut packed = self.heads();
        packed.insert("$graph".to_owned(), processes.collect());
        Value::Object(packed)
    }

    /// Locations of the files and folders that the document itself names, as in a default. Whoever runs it elsewhere
    /// does not have those of this machine.
    pub fn named_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        locations(&self.pack(), &mut found);
        found.sort();
        found.dedup();
        found
    }
}

/// The processes of a document, the outermost first, and what each is called.
#[derive(Default)]
struct Graph<'a> {
    processes: Vec<&'a Arc<Process>>,
    names: HashMap<*const Process, String>,
    taken: HashSet<String>,
}

impl<'a> Graph<'a> {
    fn add(&mut self, process: &'a Arc<Process>, name: &str) {
        if self.names.contains_key(&Arc::as_ptr(process)) {
            return;
        }
        let numbered = (2..).map(|number: u64| format!("{name}_{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let name = names
            .find(|name| !self.taken.contains(name))
            .unwrap_or_default();
        self.taken.insert(name.clone());
        self.names.insert(Arc::as_ptr(process), name);
        self.processes.push(process);
        for step in process.workflow().into_iter().flat_map(|it| &it.steps) {
            let id = match step.run.id.as_str() {
                "" => step.id.as_str(),
                id => id,
            };
            self.add(&step.run, id);
        }
    }
}

fn locations(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| locations(item, found)),
        Value::Object(fields) => {
            let class = fields.get("class").and_then(Value::as_str);
            if matches!(class, Some("File" | "Directory"))
                && let Some(location) = fields.get("location").and_then(Value::as_str)
            {
                found.push(location.to_owned());
            }
            fields.values().for_each(|field| locations(field, found));
        }
        _ => {}
    }
}
