//! `opencloud service`.

use std::path::PathBuf;

use clap::Subcommand;
use oc_proto::service::v1::ProcessingService;

use super::output::{fields, safe_lines};
use super::{Context, Outcome, document, offer, when};

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Register a CWL document as a service; a faulty one is refused with lines and columns
    Add {
        /// Name
        name: String,
        /// Version
        #[arg(id = "service_version", value_name = "VERSION")]
        version: String,
        /// The CWL document; what it names in its folder and below is packed into it
        cwl: PathBuf,
        /// A paragraph for people
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// Only this organisation may see it; may be repeated [default: every member of our networks]
        #[arg(long = "for", value_name = "ORGANISATION")]
        visible_to: Vec<String>,
    },
    /// Our services
    List,
    /// One service with its document
    Show {
        /// Name
        name: String,
        /// Version
        #[arg(id = "service_version", value_name = "VERSION")]
        version: String,
    },
    /// Replace the document or the description of a version
    Update {
        /// Name
        name: String,
        /// Version
        #[arg(id = "service_version", value_name = "VERSION")]
        version: String,
        /// The new CWL document
        #[arg(long)]
        cwl: Option<PathBuf>,
        /// The new description
        #[arg(long)]
        description: Option<String>,
    },
    /// Remove a version and its listing
    Remove {
        /// Name
        name: String,
        /// Version
        #[arg(id = "service_version", value_name = "VERSION")]
        version: String,
    },
}

pub(crate) async fn run(context: &Context, command: ServiceCommand) -> Outcome {
    let services = context.client.services();
    match command {
        ServiceCommand::Add {
            name,
            version,
            cwl,
            description,
            visible_to,
        } => {
            let service = ProcessingService {
                name,
                version,
                description,
                cwl: document::read(&cwl, context.output)?,
                visible_to: offer::organisations(context, &visible_to).await?,
                ..ProcessingService::default()
            };
            let service = services.create(&service).await?;
            context.output.show(&service, |service| {
                anstream::println!(
                    "registered {} {} as {}",
                    service.name,
                    service.version,
                    service.listing_id
                );
            })
        }
        ServiceCommand::List => {
            let list = services.list().await?;
            context.output.list(
                &list,
                "no services: register one with `opencloud service add`",
                ["NAME", "VERSION", "DESCRIPTION", "LISTING", "LISTED"],
                |service| {
                    let listed = when::show(service.registered_at_ms);
                    [
                        service.name.clone(),
                        service.version.clone(),
                        service.description.clone(),
                        service.listing_id.clone(),
                        if listed.is_empty() {
                            "not yet".to_owned()
                        } else {
                            listed
                        },
                    ]
                },
            )
        }
        ServiceCommand::Show { name, version } => {
            let service = services.get(&name, &version).await?;
            context.output.show(&service, |service| {
                fields(&[
                    ("name", service.name.clone()),
                    ("version", service.version.clone()),
                    ("description", service.description.clone()),
                    ("listing", service.listing_id.clone()),
                    ("made", when::show(service.created_at_ms)),
                    ("changed", when::show(service.updated_at_ms)),
                    ("listed", when::show(service.registered_at_ms)),
                ]);
                anstream::println!("\n{}", safe_lines(&service.cwl));
            })
        }
        ServiceCommand::Update {
            name,
            version,
            cwl,
            description,
        } => {
            let mut service = services.get(&name, &version).await?;
            if let Some(cwl) = cwl {
                service.cwl = document::read(&cwl, context.output)?;
            }
            if let Some(description) = description {
                service.description = description;
            }
            let service = services.update(&service).await?;
            context
                .output
                .show(&service, |_| anstream::println!("updated {name} {version}"))
        }
        ServiceCommand::Remove { name, version } => {
            context.confirm(&format!(
                "Remove {name} {version}? Partners can no longer use it."
            ))?;
            services.delete(&name, &version).await?;
            context.output.say(&format!("removed {name} {version}"));
            Ok(())
        }
    }
}
