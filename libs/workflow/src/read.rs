//! The planner's view of a CWL workflow: steps, links and needs, without ports and expressions.

use std::collections::{BTreeMap, BTreeSet};

use oc_cwl::{
    Body, Dynamic, Process, Reference, Requirement, RequirementKind, ScatterMethod, Step as CwlStep,
};

use crate::steps::{Needs, Resources, Step, Steps};

/// What a job gets when its document does not say, or says it by an expression. CWL's own default
/// (v1.2, ResourceRequirement) of 256 MiB is a reservation; here the amount is also the limit.
const DEFAULT: Resources = Resources {
    cores: 1,
    memory_bytes: 512 << 20,
};

/// Seconds allowed for an expression, which the engine stops by itself much earlier.
const EXPRESSION_SECONDS: u64 = 60;

const MIB: f64 = 1_048_576.0;

impl Steps {
    /// The steps of a workflow. `lengths` gives the lengths of those of its inputs that are lists, as
    /// far as they are known, to tell how wide a scatter is.
    ///
    /// A process that is no workflow has no steps: make one of it first.
    pub fn of(process: &Process, lengths: &BTreeMap<String, u32>) -> Self {
        let Some(graph) = process.graph() else {
            return Self::default();
        };
        let mut levels = Levels(vec![(&process.requirements, &process.hints)]);
        let mut widths: BTreeMap<String, u32> = BTreeMap::new();
        for id in graph.order().unwrap_or_default() {
            if let Some(step) = graph.step(id) {
                widths.insert(id.to_owned(), width(step, lengths, &widths));
            }
        }
        let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let steps = graph.steps().iter().map(|step| Step {
            id: step.id.clone(),
            upstream: names(graph.upstream(&step.id)),
            inputs: names(graph.inputs_of(&step.id)),
            needs: Needs {
                width: widths.get(&step.id).copied().unwrap_or(1),
                ..levels.step(step)
            },
        });
        let steps = steps.collect();
        let outputs = process.outputs.iter().map(|output| {
            let from = output.links.references().filter_map(|source| match source {
                Reference::Step { step, .. } => Some(step.clone()),
                Reference::Input(_) => None,
            });
            (output.id.clone(), from.collect::<BTreeSet<_>>())
        });
        Self {
            steps,
            outputs: outputs.collect(),
        }
    }
}

/// Jobs of a scattered step: the length of its lists, or their product. A list of unknown length
/// counts as one.
fn width(step: &CwlStep, inputs: &BTreeMap<String, u32>, steps: &BTreeMap<String, u32>) -> u32 {
    let length = |id: &str| {
        let links = &step.input(id)?.links;
        let lengths = links.references().map(|source| match source {
            Reference::Input(name) => inputs.get(name).copied().unwrap_or(1),
            Reference::Step { step, .. } => steps.get(step).copied().unwrap_or(1),
        });
        Some(lengths.fold(0, u32::saturating_add))
    };
    let lengths = step.scatter.iter().filter_map(|id| length(&id.text));
    match step.scatter_method {
        Some(ScatterMethod::NestedCrossproduct | ScatterMethod::FlatCrossproduct) => {
            lengths.fold(1, u32::saturating_mul)
        }
        Some(ScatterMethod::Dotproduct) | None => lengths.max().unwrap_or(1),
    }
}

/// Requirements and hints from the outermost workflow to the process at hand.
///
/// The innermost decides, and any requirement comes before any hint (CWL v1.2, Workflow,
/// section 2.2 "Requirements and hints").
struct Levels<'p>(Vec<(&'p [Requirement], &'p [Requirement])>);

impl<'p> Levels<'p> {
    fn find<T>(&self, pick: impl Fn(&'p RequirementKind) -> Option<T>) -> Option<T> {
        let required = self.0.iter().rev().flat_map(|(required, _)| *required);
        let hinted = self.0.iter().rev().flat_map(|(_, hinted)| *hinted);
        required
            .chain(hinted)
            .find_map(|requirement| pick(&requirement.kind))
    }

    fn step(&mut self, step: &'p CwlStep) -> Needs {
        self.0.push((&step.requirements, &step.hints));
        let needs = self.process(&step.run);
        self.0.pop();
        needs
    }

    fn process(&mut self, process: &'p Process) -> Needs {
        self.0.push((&process.requirements, &process.hints));
        let needs = match &process.body {
            Body::Workflow(workflow) => {
                let steps = workflow.steps.iter().map(|step| self.step(step));
                steps.reduce(one_after_the_other).unwrap_or_default()
            }
            Body::Expression(_) => Needs {
                resources: DEFAULT,
                seconds: Some(EXPRESSION_SECONDS),
                ..Needs::default()
            },
            Body::Tool(_) | Body::Operation => self.tool(),
        };
        self.0.pop();
        needs
    }

    fn tool(&self) -> Needs {
        let resource = self.find(|kind| match kind {
            RequirementKind::Resource(resources) => Some(resources),
            _ => None,
        });
        let amount = |least: &Option<Dynamic>, most: &Option<Dynamic>| {
            let amount = most.as_ref().and_then(number);
            amount.or_else(|| least.as_ref().and_then(number))
        };
        let cores = resource.and_then(|r| amount(&r.cores_min, &r.cores_min));
        let memory = resource.and_then(|r| amount(&r.ram_min, &r.ram_max));
        let output = resource.and_then(|r| amount(&r.outdir_min, &r.outdir_min));
        let seconds = self.find(|kind| match kind {
            RequirementKind::ToolTimeLimit(limit) => Some(number(limit)),
            _ => None,
        });
        let software = self.find(|kind| match kind {
            RequirementKind::Software(packages) => Some(packages),
            _ => None,
        });
        let mut required = self.0.iter().flat_map(|(required, _)| *required);
        Needs {
            resources: Resources {
                cores: cores.map_or(DEFAULT.cores, |cores| cores.ceil().max(1.0) as u32),
                memory_bytes: memory.map_or(DEFAULT.memory_bytes, |mib| (mib * MIB) as u64),
            },
            seconds: seconds
                .flatten()
                .filter(|limit| *limit > 0.0)
                .map(|limit| limit.ceil() as u64),
            output_bytes: output.map(|mib| (mib * MIB) as u64),
            width: 1,
            software: software
                .map(|packages| packages.iter().map(|one| one.package.clone()).collect())
                .unwrap_or_default(),
            container: required.any(|one| matches!(one.kind, RequirementKind::Docker(_))),
        }
    }
}

/// A plain number; an expression is known only when its job is.
fn number(value: &Dynamic) -> Option<f64> {
    match value {
        Dynamic::Value(value) => value.as_f64().filter(|number| *number >= 0.0),
        Dynamic::Expression(_) => None,
    }
}

fn one_after_the_other(first: Needs, second: Needs) -> Needs {
    let seconds = first.seconds.zip(second.seconds);
    Needs {
        resources: first.resources.max(second.resources),
        seconds: seconds.map(|(first, second)| first.saturating_add(second)),
        output_bytes: second.output_bytes,
        width: 1,
        software: first.software.into_iter().chain(second.software).collect(),
        container: first.container || second.container,
    }
}

#[cfg(test)]
mod tests {
    use oc_cwl::{Document, Limits};

    use super::*;

    const WORKFLOW: &str = r#"
cwlVersion: v1.2
class: Workflow
requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}
  ResourceRequirement: {coresMin: 4}
hints:
  ToolTimeLimit: {timelimit: 30}
inputs: {images: "File[]", threshold: float}
outputs:
  pictures: {type: "File[]", outputSource: convert/out}
  all: {type: File, outputSource: pack/out}
steps:
  convert:
    scatter: image
    in: {image: images, threshold: threshold}
    out: [out]
    hints:
      SoftwareRequirement: {packages: {gdal: {}}}
    run:
      class: CommandLineTool
      requirements:
        ResourceRequirement: {coresMin: 0.5, ramMin: 100, ramMax: 2048, outdirMin: 10}
        ToolTimeLimit: {timelimit: 90}
      inputs: {image: File, threshold: float}
      outputs: {out: {type: File, outputBinding: {glob: "*"}}}
      baseCommand: convert
  polish:
    scatter: image
    in: {image: convert/out}
    out: [out]
    run:
      class: CommandLineTool
      requirements:
        DockerRequirement: {dockerPull: "gdal:3"}
      inputs: {image: File}
      outputs: {out: {type: File, outputBinding: {glob: "*"}}}
      baseCommand: polish
  pack:
    in: {images: polish/out}
    out: [out]
    run:
      class: Workflow
      inputs: {images: "File[]"}
      outputs: {out: {type: File, outputSource: second/out}}
      steps:
        first:
          in: {images: images}
          out: [out]
          run:
            class: CommandLineTool
            hints: {ToolTimeLimit: {timelimit: 10}}
            requirements: {ResourceRequirement: {coresMin: 1, ramMin: 1024}}
            inputs: {images: "File[]"}
            outputs: {out: stdout}
            baseCommand: tar
        second:
          in: {tar: first/out}
          out: [out]
          run:
            class: CommandLineTool
            hints: {ToolTimeLimit: {timelimit: 5}}
            inputs: {tar: File}
            outputs: {out: stdout}
            baseCommand: gzip
"#;

    fn steps() -> Steps {
        let document = Document::parse(WORKFLOW, "workflow.cwl", &Limits::default()).unwrap();
        Steps::of(
            document.process(),
            &BTreeMap::from([("images".to_owned(), 12)]),
        )
    }

    #[test]
    fn links_and_outputs_are_those_of_the_document() {
        let steps = steps();
        let convert = &steps.steps[0];
        assert_eq!(
            convert.inputs,
            ["images", "threshold"].map(str::to_owned).into()
        );
        assert_eq!(steps.steps[2].upstream, ["polish".to_owned()].into());
        assert_eq!(steps.outputs["all"], ["pack".to_owned()].into());
        assert!(steps.graph().is_ok());
    }

    #[test]
    fn the_innermost_requirement_decides_and_comes_before_any_hint() {
        let steps = steps();
        let convert = &steps.steps[0].needs;
        let expected = Resources {
            cores: 1,
            memory_bytes: 2048 << 20,
        };
        assert_eq!(convert.resources, expected);
        assert_eq!(
            (convert.seconds, convert.output_bytes),
            (Some(90), Some(10 << 20))
        );
        assert_eq!(convert.software, ["gdal".to_owned()].into());
        let polish = &steps.steps[1].needs;
        assert_eq!(
            polish.resources,
            Resources {
                cores: 4,
                ..DEFAULT
            }
        );
        assert_eq!(polish.seconds, Some(30));
        assert!(polish.container && !convert.container);
    }

    #[test]
    fn a_scatter_is_as_wide_as_its_lists_also_further_down() {
        let widths: Vec<u32> = steps().steps.iter().map(|step| step.needs.width).collect();
        assert_eq!(widths, [12, 12, 1]);
    }

    #[test]
    fn a_subworkflow_needs_the_most_of_its_steps_and_the_time_of_all() {
        let needs = steps().steps.remove(2).needs;
        assert_eq!(
            needs.resources,
            Resources {
                cores: 4,
                memory_bytes: 1 << 30
            }
        );
        assert_eq!(needs.seconds, Some(15));
    }
}
