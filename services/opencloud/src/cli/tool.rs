//! What `--tool` names: services whose programs alone may read our data, found in the catalogue before anything is
//! signed; and what is left to the partner's choice when they run.

use clap::Args;
use oc_client::ListingFilter;
use oc_proto::catalog::v1::Listing;

use super::names::Names;
use super::output::hint;
use super::workflow::{self, Outline};
use super::{CommandError, Context, find};

/// The kinds of listings that hold a document.
const KINDS: [&str; 2] = ["processing", "workflow"];
/// From this likeness on (Jaro-Winkler, 0 to 1) a name is taken for a slip of another.
const LIKE: f64 = 0.8;

/// Which programs may read our data under a grant.
#[derive(Debug, Args)]
pub(crate) struct ToolArguments {
    /// Only this service or workflow of our own may read our data, its listing; may be repeated [default: any]. It reads one
    /// dataset a run and nothing beside it; the values of its inputs, the images and how often it runs are the partner's
    /// choice, so it must be safe for any of them. To fix a value, list a workflow around the service that has it fixed
    #[arg(long = "tool", value_name = "LISTING")]
    tools: Vec<String>,
}

/// Tools that are listed.
#[derive(Debug, Default)]
pub(crate) struct Tools(Vec<Listing>);

impl ToolArguments {
    /// The listings that were named.
    pub(crate) async fn found(&self, context: &Context) -> Result<Tools, CommandError> {
        let mut tools = Vec::new();
        let own = context.client.discovery().identity().await?.org_id;
        for text in &self.tools {
            let (owner, id) = find::listing_ref(context, text).await?;
            if owner != own {
                return Err(CommandError::input(others(text)));
            }
            let listed = of(context, &owner).await?;
            let ids: Vec<&str> = listed.iter().map(|it| it.listing_id.as_str()).collect();
            match listed.iter().find(|it| it.listing_id == id) {
                Some(found) => tools.push(found.clone()),
                None => return Err(CommandError::Missing(missing(text, &id, &ids))),
            }
        }
        Ok(Tools(tools))
    }
}

impl Tools {
    /// As grants name them.
    pub(crate) fn references(&self) -> Vec<String> {
        let named = |tool: &Listing| format!("{}/{}", tool.owner, tool.listing_id);
        self.0.iter().map(named).collect()
    }

    /// Says what the partner may choose when it runs them.
    pub(crate) async fn warn(&self, context: &Context) {
        let names = Names::of(context).await;
        for tool in &self.0 {
            let name = format!("{}/{}", names.show(&tool.owner), tool.listing_id);
            let cwl = workflow::document(&tool.body_json).unwrap_or_default();
            let free = Outline::of(&cwl).map_or_else(Vec::new, |outline| outline.values());
            hint(&chosen(&name, &free));
        }
    }
}

/// Tools of a grant or rule with their owners' names.
pub(crate) fn named(names: &Names, tools: &[String]) -> Vec<String> {
    tools.iter().map(|tool| names.in_text(tool)).collect()
}

/// What one organisation lists that holds a document.
async fn of(context: &Context, owner: &str) -> Result<Vec<Listing>, CommandError> {
    let mut filter = ListingFilter {
        kinds: KINDS.map(str::to_owned).into(),
        owner: Some(owner.to_owned()),
        limit: Some(1000),
        ..ListingFilter::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = context.client.catalog().search(&filter).await?;
        listed.extend(page.listings);
        if page.next_page_token.is_empty() {
            return Ok(listed);
        }
        filter.page_token = Some(page.next_page_token);
    }
}

/// That a tool is somebody else's.
fn others(text: &str) -> String {
    format!(
        "`{text}` is not listed by us: its owner could list another program under that name; add the program here with \
         `opencloud service add` and name that"
    )
}

/// That there is no such tool, with the name that was likely meant.
fn missing(text: &str, id: &str, listed: &[&str]) -> String {
    let owner = text.split_once('/').map(|(owner, _)| format!("{owner}/"));
    let owner = owner.unwrap_or_default();
    let meant = match likeliest(id, listed) {
        Some(meant) => format!("did you mean {owner}{meant}?"),
        None => "`opencloud catalog search --kind processing --kind workflow` shows what there is"
            .to_owned(),
    };
    format!("no service or workflow `{text}` is listed: {meant}")
}

/// The listing whose name is most like what was typed, with or without its kind and version.
fn likeliest<'a>(typed: &str, listed: &[&'a str]) -> Option<&'a str> {
    let likeness = |id: &str| {
        let name = id.split_once('.').map_or(id, |(_, name)| name);
        let whole = strsim::jaro_winkler(typed, id);
        match name.starts_with(typed) {
            true => 1.0,
            false => whole.max(strsim::jaro_winkler(typed, name)),
        }
    };
    let near = listed.iter().map(|id| (likeness(id), *id));
    let near = near.filter(|(likeness, _)| *likeness >= LIKE);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id)
}

fn chosen(name: &str, free: &[String]) -> String {
    let mut choices = free.to_vec();
    choices.push("which images of one dataset (area, dates, filters)".to_owned());
    format!(
        "{name}: the partner chooses {}, and how often it runs; the tool must be safe for any value of them. To fix one, \
         list a workflow around it that has it fixed",
        choices.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_not_listed_is_refused_with_the_name_that_was_meant() {
        let listed = ["processing.sentinel-pictures.1.0", "workflow.nap"];
        for (text, id, words) in [
            (
                "sentinel-pictures",
                "sentinel-pictures",
                "did you mean processing.sentinel-pictures.1.0?",
            ),
            (
                "South/processing.sentinel-picture.1.0",
                "processing.sentinel-picture.1.0",
                "did you mean South/processing.sentinel-pictures.1.0?",
            ),
            ("South/nope", "nope", "opencloud catalog search"),
        ] {
            let said = missing(text, id, &listed);
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn what_the_partner_may_choose_is_said_with_its_type() {
        let said = chosen("South/nap", &["brightest (int)".to_owned()]);
        let words = "the partner chooses brightest (int), which images of one dataset (area, dates, filters)";
        assert!(said.contains(words), "{said}");
        assert!(said.contains("safe for any value"), "{said}");
    }
}
