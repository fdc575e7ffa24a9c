//! Requirements and hints (CWL v1.2, CommandLineTool section 4.3 on, Workflow section 4.4 on).

use serde_json::Value;

use super::{Dynamic, LoadListing, Text, Type};
use crate::syntax::Mark;

/// One requirement or hint with its place.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// What is required.
    pub kind: RequirementKind,
    /// Where it stands.
    pub mark: Mark,
}

/// What is required.
#[expect(
    clippy::large_enum_variant,
    reason = "a document has few requirements, and a box would be in the way of every match"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum RequirementKind {
    /// Expressions are JavaScript; code that is run before each.
    InlineJavascript(Vec<Text>),
    /// Named types, already put where they are used.
    SchemaDef(Vec<(String, Type)>),
    /// How far folders are listed.
    LoadListing(Option<LoadListing>),
    /// A container image.
    Docker(Docker),
    /// Programs that must be installed.
    Software(Vec<SoftwarePackage>),
    /// What lies in the work folder before the start.
    InitialWorkDir(Listing),
    /// Variables of the environment.
    EnvVar(Vec<EnvVar>),
    /// The command line goes through a shell.
    ShellCommand,
    /// Processors, memory and room.
    Resource(Resources),
    /// Whether an earlier result may stand in.
    WorkReuse(Dynamic),
    /// Whether the tool may use the network.
    NetworkAccess(Dynamic),
    /// Whether writable inputs are changed where they lie.
    InplaceUpdate(bool),
    /// Seconds the tool may run; zero for no limit.
    ToolTimeLimit(Dynamic),
    /// Steps may run workflows.
    SubworkflowFeature,
    /// Steps may scatter.
    ScatterFeature,
    /// A link may have several sources.
    MultipleInputFeature,
    /// Step inputs may have `valueFrom`.
    StepInputExpression,
    /// Something this engine does not know (hints only), as it came.
    Unknown {
        /// Its class.
        class: String,
        /// All of it.
        body: Value,
    },
}

/// DockerRequirement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Docker {
    /// Image to pull.
    pub pull: Option<String>,
    /// Image to load from a file.
    pub load: Option<String>,
    /// Dockerfile.
    pub file: Option<String>,
    /// Image to import.
    pub import: Option<String>,
    /// Image by id.
    pub image_id: Option<String>,
    /// Work folder inside the container.
    pub output_directory: Option<String>,
}

/// One program of a SoftwareRequirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftwarePackage {
    /// Its name.
    pub package: String,
    /// Versions that are known to work.
    pub version: Vec<String>,
    /// IRIs that say what it is.
    pub specs: Vec<String>,
}

/// One variable of an EnvVarRequirement.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, or an expression for it.
    pub value: Text,
}

/// The listing of an InitialWorkDirRequirement.
#[derive(Debug, Clone, PartialEq)]
pub enum Listing {
    /// An expression for the whole list.
    Expression(Text),
    /// Entry by entry.
    Items(Vec<ListingItem>),
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq)]
pub enum ListingItem {
    /// An expression for files and folders.
    Expression(Text),
    /// A file, a folder or a list of them.
    Object(Value),
    /// A `Dirent`.
    Entry {
        /// The name in the work folder.
        name: Option<Text>,
        /// A file, a folder or the text of a file.
        entry: Text,
        /// Whether the tool may change it.
        writable: bool,
    },
}

/// ResourceRequirement: lower and upper bounds; cores, then mebibytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// Fewest cores.
    pub cores_min: Option<Dynamic>,
    /// Most cores.
    pub cores_max: Option<Dynamic>,
    /// Least memory in MiB.
    pub ram_min: Option<Dynamic>,
    /// Most memory in MiB.
    pub ram_max: Option<Dynamic>,
    /// Least room for temporary files in MiB.
    pub tmpdir_min: Option<Dynamic>,
    /// Most room for temporary files in MiB.
    pub tmpdir_max: Option<Dynamic>,
    /// Least room for outputs in MiB.
    pub outdir_min: Option<Dynamic>,
    /// Most room for outputs in MiB.
    pub outdir_max: Option<Dynamic>,
}

impl RequirementKind {
    /// The class it has in a document.
    pub fn class(&self) -> &str {
        match self {
            Self::InlineJavascript(_) => "InlineJavascriptRequirement",
            Self::SchemaDef(_) => "SchemaDefRequirement",
            Self::LoadListing(_) => "LoadListingRequirement",
            Self::Docker(_) => "DockerRequirement",
            Self::Software(_) => "SoftwareRequirement",
            Self::InitialWorkDir(_) => "InitialWorkDirRequirement",
            Self::EnvVar(_) => "EnvVarRequirement",
            Self::ShellCommand => "ShellCommandRequirement",
            Self::Resource(_) => "ResourceRequirement",
            Self::WorkReuse(_) => "WorkReuse",
            Self::NetworkAccess(_) => "NetworkAccess",
            Self::InplaceUpdate(_) => "InplaceUpdateRequirement",
            Self::ToolTimeLimit(_) => "ToolTimeLimit",
            Self::SubworkflowFeature => "SubworkflowFeatureRequirement",
            Self::ScatterFeature => "ScatterFeatureRequirement",
            Self::MultipleInputFeature => "MultipleInputFeatureRequirement",
            Self::StepInputExpression => "StepInputExpressionRequirement",
            Self::Unknown { class, .. } => class,
        }
    }
}
