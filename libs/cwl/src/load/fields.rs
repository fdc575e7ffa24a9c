//! Which fields each class has, and since which version of the standard.

use crate::Version;

/// One field of a class.
pub(super) struct FieldRule {
    pub(super) name: &'static str,
    pub(super) since: Version,
}

const fn old(name: &'static str) -> FieldRule {
    FieldRule {
        name,
        since: Version::V1_0,
    }
}

const fn since_1_1(name: &'static str) -> FieldRule {
    FieldRule {
        name,
        since: Version::V1_1,
    }
}

const fn since_1_2(name: &'static str) -> FieldRule {
    FieldRule {
        name,
        since: Version::V1_2,
    }
}

/// Fields of every process.
pub(super) const PROCESS: &[FieldRule] = &[
    old("id"),
    old("class"),
    old("label"),
    old("doc"),
    old("inputs"),
    old("outputs"),
    old("requirements"),
    old("hints"),
    old("cwlVersion"),
    since_1_2("intent"),
    old("$namespaces"),
    old("$schemas"),
    old("$base"),
];

pub(super) const TOOL: &[FieldRule] = &[
    old("baseCommand"),
    old("arguments"),
    old("stdin"),
    old("stdout"),
    old("stderr"),
    old("successCodes"),
    old("temporaryFailCodes"),
    old("permanentFailCodes"),
];

pub(super) const EXPRESSION_TOOL: &[FieldRule] = &[old("expression")];
pub(super) const WORKFLOW: &[FieldRule] = &[old("steps")];
pub(super) const OPERATION: &[FieldRule] = &[];

/// Fields of every parameter of a process.
pub(super) const PARAMETER: &[FieldRule] = &[
    old("id"),
    old("type"),
    old("label"),
    old("doc"),
    old("secondaryFiles"),
    old("streamable"),
    old("format"),
];

pub(super) const INPUT: &[FieldRule] = &[
    old("default"),
    old("inputBinding"),
    since_1_1("loadContents"),
    since_1_1("loadListing"),
];

pub(super) const TOOL_OUTPUT: &[FieldRule] = &[old("outputBinding")];

pub(super) const WORKFLOW_OUTPUT: &[FieldRule] = &[
    old("outputSource"),
    old("linkMerge"),
    since_1_2("pickValue"),
];

pub(super) const BINDING: &[FieldRule] = &[
    old("position"),
    old("prefix"),
    old("separate"),
    old("itemSeparator"),
    old("valueFrom"),
    old("shellQuote"),
    old("loadContents"),
];

pub(super) const OUTPUT_BINDING: &[FieldRule] = &[
    old("glob"),
    old("loadContents"),
    since_1_1("loadListing"),
    old("outputEval"),
];

pub(super) const SECONDARY_FILE: &[FieldRule] = &[since_1_1("pattern"), since_1_1("required")];

/// Fields of every schema that is written out as a map.
pub(super) const SCHEMA: &[FieldRule] = &[
    old("type"),
    old("name"),
    old("label"),
    old("doc"),
    old("inputBinding"),
    old("outputBinding"),
    old("secondaryFiles"),
    old("streamable"),
    old("format"),
    old("loadContents"),
    old("loadListing"),
];

pub(super) const ARRAY: &[FieldRule] = &[old("items")];
pub(super) const RECORD: &[FieldRule] = &[old("fields")];
pub(super) const ENUM: &[FieldRule] = &[old("symbols")];

pub(super) const RECORD_FIELD: &[FieldRule] = &[
    old("name"),
    old("type"),
    old("label"),
    old("doc"),
    old("inputBinding"),
    old("outputBinding"),
    since_1_1("secondaryFiles"),
    since_1_1("streamable"),
    since_1_1("format"),
    since_1_1("loadContents"),
    since_1_1("loadListing"),
];

pub(super) const STEP: &[FieldRule] = &[
    old("id"),
    old("label"),
    old("doc"),
    old("in"),
    old("out"),
    old("run"),
    old("requirements"),
    old("hints"),
    old("scatter"),
    old("scatterMethod"),
    since_1_2("when"),
];

pub(super) const STEP_INPUT: &[FieldRule] = &[
    old("id"),
    old("source"),
    old("linkMerge"),
    since_1_2("pickValue"),
    old("default"),
    old("valueFrom"),
    since_1_1("label"),
    since_1_1("loadContents"),
    since_1_1("loadListing"),
];

pub(super) const STEP_OUTPUT: &[FieldRule] = &[old("id")];

/// A requirement with its fields.
pub(super) struct ClassRule {
    pub(super) name: &'static str,
    pub(super) since: Version,
    pub(super) fields: &'static [FieldRule],
}

const fn class(name: &'static str, since: Version, fields: &'static [FieldRule]) -> ClassRule {
    ClassRule {
        name,
        since,
        fields,
    }
}

pub(super) const CLASS: &[FieldRule] = &[old("class")];

pub(super) const REQUIREMENTS: &[ClassRule] = &[
    class(
        "InlineJavascriptRequirement",
        Version::V1_0,
        &[old("expressionLib")],
    ),
    class("SchemaDefRequirement", Version::V1_0, &[old("types")]),
    class(
        "LoadListingRequirement",
        Version::V1_1,
        &[old("loadListing")],
    ),
    class(
        "DockerRequirement",
        Version::V1_0,
        &[
            old("dockerPull"),
            old("dockerLoad"),
            old("dockerFile"),
            old("dockerImport"),
            old("dockerImageId"),
            old("dockerOutputDirectory"),
        ],
    ),
    class("SoftwareRequirement", Version::V1_0, &[old("packages")]),
    class(
        "InitialWorkDirRequirement",
        Version::V1_0,
        &[old("listing")],
    ),
    class("EnvVarRequirement", Version::V1_0, &[old("envDef")]),
    class("ShellCommandRequirement", Version::V1_0, &[]),
    class(
        "ResourceRequirement",
        Version::V1_0,
        &[
            old("coresMin"),
            old("coresMax"),
            old("ramMin"),
            old("ramMax"),
            old("tmpdirMin"),
            old("tmpdirMax"),
            old("outdirMin"),
            old("outdirMax"),
        ],
    ),
    class("WorkReuse", Version::V1_1, &[old("enableReuse")]),
    class("NetworkAccess", Version::V1_1, &[old("networkAccess")]),
    class(
        "InplaceUpdateRequirement",
        Version::V1_1,
        &[old("inplaceUpdate")],
    ),
    class("ToolTimeLimit", Version::V1_1, &[old("timelimit")]),
    class("SubworkflowFeatureRequirement", Version::V1_0, &[]),
    class("ScatterFeatureRequirement", Version::V1_0, &[]),
    class("MultipleInputFeatureRequirement", Version::V1_0, &[]),
    class("StepInputExpressionRequirement", Version::V1_0, &[]),
];

pub(super) const DIRENT: &[FieldRule] = &[old("entryname"), old("entry"), old("writable")];
pub(super) const ENV_DEF: &[FieldRule] = &[old("envName"), old("envValue")];
pub(super) const PACKAGE: &[FieldRule] = &[old("package"), old("version"), old("specs")];
