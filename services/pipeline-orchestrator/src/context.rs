//! What every part of the orchestrator works with.

use std::sync::Arc;

use oc_door::Door;
use oc_kernel::Clock;

use crate::documents::Shelf;
use crate::ports::{Books, Catalogue, Federation, Grants, Objects, Outputs};
use crate::settings::Settings;

/// The documents, the ways to others, and the settings.
pub(crate) struct Context {
    pub(crate) shelf: Shelf,
    pub(crate) federation: Arc<dyn Federation>,
    pub(crate) catalogue: Arc<dyn Catalogue>,
    pub(crate) grants: Arc<dyn Grants>,
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) books: Arc<dyn Books>,
    pub(crate) outputs: Arc<dyn Outputs>,
    pub(crate) door: Door,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
}
