//! Expressions: brackets that close, JavaScript where it is allowed, references to what is declared.

use std::collections::HashSet;

use super::Check;
use crate::expression::{ParameterReference, Piece, Root, Segment, scan};
use crate::load::nearest;
use crate::{
    Argument, Binding, Body, CommandLineTool, Dynamic, Field, Listing, ListingItem, OutputBinding,
    Process, Required, Requirement, RequirementKind, Resources, SecondaryFile, Step, Text, Type,
};

/// Where expressions stand: what they may refer to.
struct Place<'p> {
    javascript: bool,
    inputs: &'p HashSet<&'p str>,
    path: String,
}

impl Check<'_> {
    pub(super) fn expressions(&mut self, process: &Process, javascript: bool, path: &str) {
        let inputs: HashSet<&str> = process
            .inputs
            .iter()
            .map(|input| input.id.as_str())
            .collect();
        let place = |path: String| Place {
            javascript,
            inputs: &inputs,
            path,
        };
        for input in &process.inputs {
            let place = place(format!("{path}inputs.{}", input.id));
            self.secondary_files(&input.secondary_files, &place);
            self.texts(&input.format, &place);
            self.binding(input.binding.as_ref(), &place);
            self.type_bindings(&input.type_, &place);
        }
        for output in &process.outputs {
            let place = place(format!("{path}outputs.{}", output.id));
            self.secondary_files(&output.secondary_files, &place);
            self.maybe(output.format.as_ref(), &place);
            self.output_binding(output.binding.as_ref(), &place);
            self.type_bindings(&output.type_, &place);
        }
        self.requirement_list(&process.requirements, &place(format!("{path}requirements")));
        self.requirement_list(&process.hints, &place(format!("{path}hints")));
        match &process.body {
            Body::Tool(tool) => self.tool(tool, &place(path.to_owned())),
            Body::Expression(text) => self.text(text, &place(format!("{path}expression"))),
            Body::Workflow(workflow) => {
                for step in &workflow.steps {
                    self.step_expressions(step, javascript, &format!("{path}steps.{}", step.id));
                }
            }
            Body::Operation => {}
        }
    }

    fn step_expressions(&mut self, step: &Step, javascript: bool, path: &str) {
        let javascript = javascript
            || step
                .requirements
                .iter()
                .chain(&step.hints)
                .any(|requirement| super::is_javascript(&requirement.kind));
        let inputs: HashSet<&str> = step.inputs.iter().map(|input| input.id.as_str()).collect();
        let place = |path: String| Place {
            javascript,
            inputs: &inputs,
            path,
        };
        self.maybe(step.when.as_ref(), &place(format!("{path}.when")));
        for input in &step.inputs {
            let place = place(format!("{path}.in.{}.valueFrom", input.id));
            self.maybe(input.value_from.as_ref(), &place);
        }
    }

    fn tool(&mut self, tool: &CommandLineTool, place: &Place<'_>) {
        for argument in &tool.arguments {
            match argument {
                Argument::Text(text) => self.text(text, place),
                Argument::Binding(binding) => self.binding(Some(binding), place),
            }
        }
        for text in [&tool.stdin, &tool.stdout, &tool.stderr] {
            self.maybe(text.as_ref(), place);
        }
    }

    fn text(&mut self, text: &Text, place: &Place<'_>) {
        let pieces = match scan(&text.text) {
            Ok(pieces) => pieces,
            Err(message) => {
                self.error(text.mark, place.path.clone(), message);
                return;
            }
        };
        for piece in pieces {
            match piece {
                Piece::Literal(_) => {}
                Piece::Body(_) => self.needs_javascript(text, "${..}", place),
                Piece::Expression(code) => match ParameterReference::parse(code) {
                    Some(reference) => self.reference(&reference, text, place),
                    None if code.trim() == "null" => {}
                    None => self.needs_javascript(text, &format!("$({code})"), place),
                },
            }
        }
    }

    fn needs_javascript(&mut self, text: &Text, what: &str, place: &Place<'_>) {
        if !place.javascript {
            let message = format!(
                "`{what}` is no parameter reference: add InlineJavascriptRequirement to use JavaScript"
            );
            self.error(text.mark, place.path.clone(), message);
        }
    }

    fn reference(&mut self, reference: &ParameterReference, text: &Text, place: &Place<'_>) {
        let (Root::Inputs, Some(Segment::Key(name))) = (reference.root, reference.segments.first())
        else {
            return;
        };
        if place.inputs.contains(name.as_str()) {
            return;
        }
        let near = nearest(name, place.inputs.iter().copied())
            .map(|near| format!(": did you mean `{near}`?"))
            .unwrap_or_default();
        let message = format!("`inputs.{name}` is not declared{near}");
        // In JavaScript what is not there is null, which may be meant.
        if place.javascript {
            self.warning(text.mark, place.path.clone(), message);
        } else {
            self.error(text.mark, place.path.clone(), message);
        }
    }

    fn maybe(&mut self, text: Option<&Text>, place: &Place<'_>) {
        if let Some(text) = text {
            self.text(text, place);
        }
    }

    fn texts(&mut self, texts: &[Text], place: &Place<'_>) {
        texts.iter().for_each(|text| self.text(text, place));
    }

    fn dynamic(&mut self, value: Option<&Dynamic>, place: &Place<'_>) {
        if let Some(Dynamic::Expression(text)) = value {
            self.text(text, place);
        }
    }

    fn secondary_files(&mut self, files: &[SecondaryFile], place: &Place<'_>) {
        for file in files {
            self.text(&file.pattern, place);
            if let Required::Expression(text) = &file.required {
                self.text(text, place);
            }
        }
    }

    fn binding(&mut self, binding: Option<&Binding>, place: &Place<'_>) {
        let Some(binding) = binding else {
            return;
        };
        self.dynamic(binding.position.as_ref(), place);
        self.maybe(binding.value_from.as_ref(), place);
    }

    fn output_binding(&mut self, binding: Option<&OutputBinding>, place: &Place<'_>) {
        let Some(binding) = binding else {
            return;
        };
        self.texts(&binding.glob, place);
        self.maybe(binding.output_eval.as_ref(), place);
    }

    fn type_bindings(&mut self, type_: &Type, place: &Place<'_>) {
        match type_ {
            Type::Array(array) => {
                self.binding(array.binding.as_ref(), place);
                self.type_bindings(&array.items, place);
            }
            Type::Enum(values) => self.binding(values.binding.as_ref(), place),
            Type::Record(record) => {
                self.binding(record.binding.as_ref(), place);
                record
                    .fields
                    .iter()
                    .for_each(|field| self.field(field, place));
            }
            Type::Union(members) => members
                .iter()
                .for_each(|member| self.type_bindings(member, place)),
            _ => {}
        }
    }

    fn field(&mut self, field: &Field, place: &Place<'_>) {
        self.secondary_files(&field.secondary_files, place);
        self.texts(&field.format, place);
        self.binding(field.binding.as_ref(), place);
        self.output_binding(field.output_binding.as_ref(), place);
        self.type_bindings(&field.type_, place);
    }

    fn requirement_list(&mut self, list: &[Requirement], place: &Place<'_>) {
        for requirement in list {
            match &requirement.kind {
                RequirementKind::InitialWorkDir(listing) => self.listing(listing, place),
                RequirementKind::EnvVar(variables) => {
                    variables
                        .iter()
                        .for_each(|one| self.text(&one.value, place));
                }
                RequirementKind::Resource(bounds) => self.resources(bounds, place),
                RequirementKind::WorkReuse(value)
                | RequirementKind::NetworkAccess(value)
                | RequirementKind::ToolTimeLimit(value) => self.dynamic(Some(value), place),
                _ => {}
            }
        }
    }

    fn listing(&mut self, listing: &Listing, place: &Place<'_>) {
        let items = match listing {
            Listing::Expression(text) => return self.text(text, place),
            Listing::Items(items) => items,
        };
        for item in items {
            match item {
                ListingItem::Expression(text) => self.text(text, place),
                ListingItem::Object(_) => {}
                ListingItem::Entry { name, entry, .. } => {
                    self.maybe(name.as_ref(), place);
                    self.text(entry, place);
                }
            }
        }
    }

    fn resources(&mut self, bounds: &Resources, place: &Place<'_>) {
        for value in [
            &bounds.cores_min,
            &bounds.cores_max,
            &bounds.ram_min,
            &bounds.ram_max,
            &bounds.tmpdir_min,
            &bounds.tmpdir_max,
            &bounds.outdir_min,
            &bounds.outdir_max,
        ] {
            self.dynamic(value.as_ref(), place);
        }
    }
}
