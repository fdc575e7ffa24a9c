//! Links, types along them, missing inputs, scatter and circles.

use super::Check;
use super::compatible::{Fit, fits, joined};
use crate::load::nearest;
use crate::{
    Graph, Links, PickValue, Process, Reference, RequirementKind, Step, StepInput, Type, Workflow,
};

impl Check<'_> {
    pub(super) fn workflow(&mut self, process: &Process, workflow: &Workflow, path: &str) {
        let Some(graph) = process.graph() else {
            return;
        };
        if let Err(circle) = graph.order() {
            let mark = circle
                .first()
                .and_then(|id| graph.step(id))
                .map_or(process.mark, |step| step.mark);
            let names = circle.join(" -> ");
            self.error(
                mark,
                format!("{path}steps"),
                format!("these steps wait for each other: {names}"),
            );
        }
        let scope = Sources {
            process,
            graph: &graph,
        };
        for output in &process.outputs {
            let path = format!("{path}outputs.{}", output.id);
            if output.links.sources.is_empty() {
                if !output.type_.allows_null() {
                    let message = format!("output `{}` has no outputSource", output.id);
                    self.error(output.mark, path, message);
                }
                continue;
            }
            let Some(source) = self.joined(&output.links, &scope, &path) else {
                continue;
            };
            self.fit(&source, &output.type_, &output.links, &path);
        }
        for step in &workflow.steps {
            self.step(step, &scope, &format!("{path}steps.{}", step.id));
        }
        self.features(process, workflow, path);
        self.unused(process, workflow, path);
    }

    fn step(&mut self, step: &Step, scope: &Sources<'_>, path: &str) {
        for output in &step.outputs {
            if step.run.output(&output.id).is_none() {
                let near = nearest(
                    &output.id,
                    step.run.outputs.iter().map(|one| one.id.as_str()),
                );
                let message = format!(
                    "what step `{}` runs has no output `{}`{}",
                    step.id,
                    output.id,
                    suggestion(near)
                );
                self.error(output.mark, format!("{path}.out"), message);
            }
        }
        self.scatter(step, scope, path);
        for input in &step.inputs {
            self.step_input(step, input, scope, &format!("{path}.in.{}", input.id));
        }
        for wanted in &step.run.inputs {
            if !wanted.is_required() {
                continue;
            }
            let given = step.input(&wanted.id);
            let connected = given.is_some_and(|input| {
                !input.links.sources.is_empty()
                    || input.default.is_some()
                    || input.value_from.is_some()
            });
            if !connected {
                let mark = given.map_or(step.mark, |input| input.mark);
                let message = format!(
                    "step `{}` does not give the input `{}` ({}) that it needs",
                    step.id, wanted.id, wanted.type_
                );
                self.error(mark, format!("{path}.in.{}", wanted.id), message);
            }
        }
    }

    fn step_input(&mut self, step: &Step, input: &StepInput, scope: &Sources<'_>, path: &str) {
        if input.links.sources.is_empty() {
            return;
        }
        let Some(mut source) = self.joined(&input.links, scope, path) else {
            return;
        };
        // With valueFrom anything may come out.
        let (Some(wanted), None) = (step.run.input(&input.id), &input.value_from) else {
            return;
        };
        if input.default.is_some() || wanted.default.is_some() {
            source = without_null(source);
        }
        let scattered = step.scatter.iter().any(|name| name.text == input.id);
        let sink = if scattered {
            Type::array_of(wanted.type_.clone())
        } else {
            wanted.type_.clone()
        };
        self.fit(&source, &sink, &input.links, path);
    }

    fn fit(&mut self, source: &Type, sink: &Type, links: &Links, path: &str) {
        let Some(first) = links.sources.first() else {
            return;
        };
        let names: Vec<_> = links.references().map(ToString::to_string).collect();
        let names = names.join(", ");
        match fits(source, sink) {
            Fit::Yes => {}
            Fit::Maybe => self.warning(
                first.mark,
                path,
                format!("`{names}` is {source}, which fits {sink} only sometimes"),
            ),
            Fit::No => self.error(
                first.mark,
                path,
                format!("`{names}` is {source}, but {sink} is wanted"),
            ),
        }
    }

    /// The type of the joined sources; none where one of them does not exist, which is reported.
    fn joined(&mut self, links: &Links, scope: &Sources<'_>, path: &str) -> Option<Type> {
        let mut types = Vec::with_capacity(links.sources.len());
        let mut whole = true;
        for source in &links.sources {
            match scope.type_of(&source.reference) {
                Ok(type_) => types.push(type_),
                Err(message) => {
                    self.error(source.mark, path, message);
                    whole = false;
                }
            }
        }
        if !whole {
            return None;
        }
        if links.pick == Some(PickValue::All) || types.len() != 1 || links.merge.is_some() {
            return Some(joined(links, types));
        }
        let only = &types[0];
        let may_be_list = only
            .members()
            .iter()
            .any(|member| matches!(member, Type::Array(_) | Type::Any));
        if links.pick.is_some() && !may_be_list {
            let mark = links.sources[0].mark;
            let message = format!("`pickValue` has one source only, and it is no list but {only}");
            self.warning(mark, path, message);
        }
        Some(joined(links, types))
    }

    fn scatter(&mut self, step: &Step, scope: &Sources<'_>, path: &str) {
        let path = format!("{path}.scatter");
        if step.scatter.len() > 1 && step.scatter_method.is_none() {
            let message = format!(
                "step `{}` scatters over {} inputs and needs `scatterMethod`",
                step.id,
                step.scatter.len()
            );
            self.error(step.scatter[1].mark, path.clone(), message);
        }
        for (position, name) in step.scatter.iter().enumerate() {
            if step.scatter[..position].contains(name) {
                let message = format!("`{}` is scattered over twice", name.text);
                self.error(name.mark, path.clone(), message);
            }
            let Some(input) = step.input(&name.text) else {
                let near = nearest(&name.text, step.inputs.iter().map(|one| one.id.as_str()));
                let message = format!(
                    "step `{}` scatters over `{}`, which it has no input for{}",
                    step.id,
                    name.text,
                    suggestion(near)
                );
                self.error(name.mark, path.clone(), message);
                continue;
            };
            if let Some(default) = &input.default
                && input.links.sources.is_empty()
                && !default.is_array()
            {
                let message = format!("`{}` is scattered over and must be a list", name.text);
                self.error(name.mark, path.clone(), message);
            }
            let types: Result<Vec<_>, _> = input
                .links
                .references()
                .map(|reference| scope.type_of(reference))
                .collect();
            let (Ok(types), false) = (types, input.links.sources.is_empty()) else {
                continue;
            };
            let whole = joined(&input.links, types);
            let is_list = |member: &Type| matches!(member, Type::Array(_) | Type::Any);
            if !whole.members().iter().any(is_list) {
                let message = format!(
                    "`{}` is scattered over and must be a list, but it is {whole}",
                    name.text
                );
                self.error(name.mark, path.clone(), message);
            }
        }
    }

    /// Features that the standard wants to be announced; this engine has them in any case.
    fn features(&mut self, process: &Process, workflow: &Workflow, path: &str) {
        for step in &workflow.steps {
            let path = format!("{path}steps.{}", step.id);
            let said = |wanted: &RequirementKind| {
                let all = process.requirements.iter().chain(&process.hints);
                let all = all.chain(&step.requirements).chain(&step.hints);
                all.into_iter()
                    .any(|one| one.kind.class() == wanted.class())
            };
            let used = [
                (!step.scatter.is_empty(), RequirementKind::ScatterFeature),
                (
                    step.run.workflow().is_some(),
                    RequirementKind::SubworkflowFeature,
                ),
                (
                    step.inputs
                        .iter()
                        .any(|input| input.links.sources.len() > 1),
                    RequirementKind::MultipleInputFeature,
                ),
                (
                    step.inputs.iter().any(|input| input.value_from.is_some()),
                    RequirementKind::StepInputExpression,
                ),
            ];
            for (uses, feature) in used {
                if uses && !said(&feature) {
                    let class = feature.class().to_owned();
                    self.warning(
                        step.mark,
                        path.clone(),
                        format!("other engines want `{class}` under `requirements` for this step"),
                    );
                }
            }
        }
    }

    fn unused(&mut self, process: &Process, workflow: &Workflow, path: &str) {
        let used: std::collections::HashSet<&str> = workflow
            .steps
            .iter()
            .flat_map(Step::references)
            .chain(
                process
                    .outputs
                    .iter()
                    .flat_map(|output| output.links.references()),
            )
            .filter_map(|reference| match reference {
                Reference::Input(id) => Some(id.as_str()),
                Reference::Step { .. } => None,
            })
            .collect();
        for input in &process.inputs {
            if !used.contains(input.id.as_str()) {
                let message = format!("input `{}` is never used", input.id);
                self.warning(input.mark, format!("{path}inputs.{}", input.id), message);
            }
        }
    }
}

fn suggestion(near: Option<&str>) -> String {
    near.map(|near| format!(": did you mean `{near}`?"))
        .unwrap_or_default()
}

/// A default stands in for a null.
fn without_null(type_: Type) -> Type {
    match type_ {
        Type::Union(members) => {
            let mut left: Vec<Type> = members
                .into_iter()
                .filter(|member| *member != Type::Null)
                .collect();
            if left.len() == 1 {
                left.swap_remove(0)
            } else {
                Type::Union(left)
            }
        }
        other => other,
    }
}

/// What links of a workflow can begin at.
struct Sources<'p> {
    process: &'p Process,
    graph: &'p Graph<'p>,
}

impl Sources<'_> {
    fn type_of(&self, reference: &Reference) -> Result<Type, String> {
        match reference {
            Reference::Input(id) => match self.process.input(id) {
                Some(input) if input.default.is_some() => Ok(without_null(input.type_.clone())),
                Some(input) => Ok(input.type_.clone()),
                None => {
                    let inputs = self.process.inputs.iter().map(|input| input.id.as_str());
                    let near = suggestion(nearest(id, inputs));
                    Err(format!("the workflow has no input `{id}`{near}"))
                }
            },
            Reference::Step { step: id, output } => {
                let Some(step) = self.graph.step(id) else {
                    let steps = self.graph.steps().iter().map(|step| step.id.as_str());
                    let near = suggestion(nearest(id, steps));
                    return Err(format!("the workflow has no step `{id}`{near}"));
                };
                if !step.has_output(output) {
                    let outputs = step.outputs.iter().map(|output| output.id.as_str());
                    let near = suggestion(nearest(output, outputs));
                    return Err(format!("step `{id}` gives no output `{output}`{near}"));
                }
                Ok(step.output_type(output).unwrap_or(Type::Any))
            }
        }
    }
}
