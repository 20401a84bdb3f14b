//! The recursion of a build: a directory's resources, what it generates, its components, then what it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use super::{
    Built, Files, Overlay, Rendered, Rules, Unrendered, closure,
    config::Config,
    fault::{Fault, Outcome},
    generate, images,
    item::{Id, Item, object_in},
    labels,
    load::{Loaded, Loader, Spot, nowhere},
    names, overlay, patches,
    place::{Place, is_remote, join, relative},
    references, replacements,
    spec::Var,
    transformers, vars,
};
use serde_json::Value;

use crate::manifest::Object;

/// How deep kustomizations may be nested.
const MAX_LAYERS: usize = 32;
/// The most objects of one build.
const MAX_OBJECTS: usize = 10_000;

/// What a directory yields, before references are followed.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) items: Vec<Item>,
    pub(super) config: Arc<Config>,
    pub(super) vars: Vec<Var>,
    /// Whether a configuration was taken in.
    is_configured: bool,
    ids: BTreeSet<Id>,
}

impl Default for Layer {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            config: Config::default_fields(),
            vars: Vec::new(),
            is_configured: false,
            ids: BTreeSet::new(),
        }
    }
}

/// A directory that was rendered as a resource of another, and may be again.
#[derive(Debug)]
struct Known {
    layer: Layer,
    inputs: BTreeSet<String>,
    dirs: BTreeSet<String>,
}

/// Renders directories of one tree; what several of them share is rendered once.
pub struct Renderer<'a> {
    loader: Loader<'a>,
    known: BTreeMap<(Rules, String), Rc<Known>>,
    /// The directories below each of those that are being rendered.
    dirs: Vec<BTreeSet<String>>,
}

impl std::fmt::Debug for Renderer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer").finish_non_exhaustive()
    }
}

impl<'a> Renderer<'a> {
    /// Makes a renderer for a tree.
    #[must_use]
    pub fn new(files: &'a dyn Files) -> Self {
        Self {
            loader: Loader::new(files),
            known: BTreeMap::new(),
            dirs: Vec::new(),
        }
    }

    /// Renders a directory.
    pub fn build(&mut self, dir: &str, overlay: &Overlay) -> Result<Built, Unrendered> {
        self.loader.restart(overlay.rules);
        self.dirs.clear();
        let dir = join("", dir).unwrap_or_default();
        let objects = self.objects(&dir, overlay);
        let mut inputs = self.loader.take();
        match objects {
            Ok(objects) => Ok(Built { objects, inputs }),
            Err(fault) => {
                closure::add(self.loader.files, &dir, overlay, &mut inputs);
                Err(Unrendered { fault, inputs })
            }
        }
    }

    fn objects(&mut self, dir: &str, overlay: &Overlay) -> Outcome<Vec<Rendered>> {
        let place = Place::top(dir.to_owned());
        let mut loaded = match self.loader.kustomization(dir)? {
            Some(loaded) => loaded,
            None if overlay.rules == Rules::Flux && self.loader.files.is_dir(dir) => {
                overlay::generated(&mut self.loader, &place)?
            }
            None => {
                let message = if self.loader.files.is_dir(dir) {
                    "there is no kustomization file in this directory"
                } else {
                    "there is no such directory"
                };
                let hint = "add a kustomization.yaml, or name a directory that has one";
                return Err(Fault::Wrong(nowhere(dir, message, hint)));
            }
        };
        overlay.add_to(&mut loaded.spec, dir, self.loader.files);
        let mut layer = self.layer(&place, &loaded, Layer::default())?;
        names::hash(&mut layer.items);
        references::follow(&mut layer.items, &layer.config, &loaded.spot)?;
        vars::resolve(&mut layer, &loaded.spot)?;
        layer.items.retain(|item| {
            item.annotation("config.kubernetes.io/local-config")
                .is_none_or(|local| local == "false")
        });
        let mut ids = BTreeSet::new();
        if let Some(id) = layer
            .items
            .iter()
            .map(Item::id)
            .find(|id| !ids.insert(id.clone()))
        {
            return Err(loaded
                .spot
                .wrong(format!("two objects end as {id}"), "give them different names"));
        }
        names::sort(&mut layer.items);
        let origins = origins(&loaded)?;
        for item in &mut layer.items {
            tidy(item, origins.then_some(dir));
        }
        overlay.finish(&mut layer.items);
        Ok(layer.items.into_iter().map(rendered).collect())
    }

    /// Renders what a kustomization says into what is there already.
    fn layer(&mut self, place: &Place<'_>, loaded: &Loaded, into: Layer) -> Outcome<Layer> {
        let Loaded { spec, spot } = loaded;
        refuse(loaded)?;
        let mut layer = into;
        for (at, path) in spec.resources.iter().enumerate() {
            self.resource(place, path, &spot.at(&format!("/resources/{at}")), &mut layer)?;
        }
        self.configure(place, loaded, &mut layer)?;
        generate::run(&mut self.loader, place, loaded, &mut layer)?;
        for (at, path) in spec.components.iter().enumerate() {
            let spot = spot.at(&format!("/components/{at}"));
            layer = self.component(place, path, &spot, layer)?;
            layer.configure_anew(&spot)?;
        }
        self.transform(place, loaded, &mut layer)?;
        Ok(layer)
    }

    fn resource(&mut self, place: &Place<'_>, path: &str, spot: &Spot, layer: &mut Layer) -> Outcome<()> {
        if let Some(file) = self.loader.named(place, path, spot)? {
            let items = file.items()?;
            return layer.add(items.iter().cloned(), spot);
        }
        let dir = join(&place.dir, path).unwrap_or_default();
        if !self.loader.files.is_dir(&dir) {
            if is_remote(path) {
                return Err(spot.beyond(
                    format!("{path} is fetched from elsewhere"),
                    "Serin renders only what is in the repository: what this path depends on is told by its files",
                ));
            }
            return Err(spot.wrong(
                format!("there is no file or directory {path}"),
                "correct the path, or add what it names",
            ));
        }
        let known = self.directory(place, dir, spot)?;
        layer.absorb(&known.layer, spot)
    }

    /// Renders a directory that is a resource of another, or takes what it was rendered to before.
    fn directory(&mut self, place: &Place<'_>, dir: String, spot: &Spot) -> Outcome<Rc<Known>> {
        enter(place, &dir, spot)?;
        let key = (self.loader.rules, dir.clone());
        let known = self.known.get(&key).filter(|known| {
            let round = |dir: &String| place.contained_in(dir).is_some();
            !known.dirs.iter().any(round)
        });
        if let Some(known) = known {
            let known = Rc::clone(known);
            self.loader.note_all(&known.inputs);
            if let Some(dirs) = self.dirs.last_mut() {
                dirs.extend(known.dirs.iter().cloned());
            }
            return Ok(known);
        }
        self.loader.open();
        self.dirs.push(BTreeSet::new());
        let inner = place.below(dir.clone());
        let loaded = self.at(&dir, spot)?;
        if loaded.spec.is_component() {
            return Err(spot.wrong(
                format!("{dir} is a component, not a kustomization"),
                "name it under `components`",
            ));
        }
        let layer = self.layer(&inner, &loaded, Layer::default())?;
        let mut dirs = self.dirs.pop().unwrap_or_default();
        dirs.insert(dir);
        if let Some(outer) = self.dirs.last_mut() {
            outer.extend(dirs.iter().cloned());
        }
        let inputs = self.loader.close();
        let known = Rc::new(Known { layer, inputs, dirs });
        self.known.insert(key, Rc::clone(&known));
        Ok(known)
    }

    fn component(&mut self, place: &Place<'_>, path: &str, spot: &Spot, layer: Layer) -> Outcome<Layer> {
        let dir = join(&place.dir, path).filter(|dir| self.loader.files.is_dir(dir));
        let Some(dir) = dir else {
            if is_remote(path) {
                return Err(spot.beyond(
                    format!("{path} is fetched from elsewhere"),
                    "keep it in the repository",
                ));
            }
            return Err(spot.wrong(
                format!("there is no directory {path}"),
                "correct the path: a component is a directory",
            ));
        };
        enter(place, &dir, spot)?;
        if let Some(dirs) = self.dirs.last_mut() {
            dirs.insert(dir.clone());
        }
        let loaded = self.at(&dir, spot)?;
        if !loaded.spec.is_component() {
            return Err(spot.wrong(
                format!("{dir} is a kustomization, not a component"),
                "name it under `resources`",
            ));
        }
        self.layer(&place.below(dir), &loaded, layer)
    }

    fn at(&mut self, dir: &str, spot: &Spot) -> Outcome<Loaded> {
        self.loader.kustomization(dir)?.ok_or_else(|| {
            spot.wrong(
                format!("there is no kustomization file in {dir}"),
                "add a kustomization.yaml to it, or name its files",
            )
        })
    }

    /// Reads `configurations`.
    fn configure(&mut self, place: &Place<'_>, loaded: &Loaded, layer: &mut Layer) -> Outcome<()> {
        let mut own = Config::default();
        for (at, path) in loaded.spec.configurations.iter().enumerate() {
            let spot = loaded.spot.at(&format!("/configurations/{at}"));
            let file = self.loader.needed(place, path, &spot)?;
            for text in file.settings()?.iter() {
                let spot = Spot {
                    file: Arc::clone(&file),
                    line: text.line,
                    pointer: String::new(),
                };
                let more: Config = super::spec::typed(&super::spec::without_nulls(&text.value))
                    .map_err(|misread| spot.at(&misread.pointer).wrong(misread.message, misread.hint))?;
                own.add(&more).ok_or_else(|| disagree(&spot))?;
            }
        }
        if loaded.spec.configurations.is_empty() {
            return layer.configure(&Config::default_fields(), &loaded.spot);
        }
        let spot = loaded.spot.at("/configurations");
        own.add(&Config::default_fields())
            .ok_or_else(|| disagree(&spot))?;
        layer.configure(&Arc::new(own), &spot)
    }

    fn transform(&mut self, place: &Place<'_>, loaded: &Loaded, layer: &mut Layer) -> Outcome<()> {
        let Loaded { spec, spot } = loaded;
        let config = Arc::clone(&layer.config);
        let items = &mut layer.items;
        patches::strategic_merges(&mut self.loader, place, loaded, items)?;
        patches::patches(&mut self.loader, place, loaded, items)?;
        names::namespace(items, &spec.namespace, &config.namespace, spot)?;
        names::prefix(items, &spec.name_prefix, &config.name_prefix, spot)?;
        names::suffix(items, &spec.name_suffix, &config.name_suffix, spot)?;
        labels::labels(items, loaded, &config)?;
        labels::annotations(items, &spec.common_annotations, &config.common_annotations, spot)?;
        patches::json6902(&mut self.loader, place, loaded, items)?;
        images::replicas(items, &spec.replicas, &config, spot)?;
        images::images(items, &spec.images, &config.images, spot)?;
        replacements::run(&mut self.loader, place, loaded, items)?;
        transformers::run(&mut self.loader, place, loaded, items)?;
        layer.count();
        vars::note(loaded, layer)
    }
}

impl Layer {
    /// Adds objects; two of one key are refused.
    pub(super) fn add(&mut self, items: impl IntoIterator<Item = Item>, spot: &Spot) -> Outcome<()> {
        for item in items {
            let id = item.id();
            if self.ids.contains(&id) {
                let first = self.items.iter().find(|known| known.id() == id);
                let first = first.map_or_else(String::new, |first| {
                    format!("; the first is at {}:{}", first.file, first.line)
                });
                return Err(spot.wrong(
                    format!(
                        "{id} at {}:{} is there a second time{first}",
                        item.file, item.line
                    ),
                    "remove one of the two",
                ));
            }
            self.ids.insert(id);
            self.items.push(item);
            if self.items.len() > MAX_OBJECTS {
                return Err(spot.too_much(format!("more than {MAX_OBJECTS} objects")));
            }
        }
        Ok(())
    }

    fn absorb(&mut self, other: &Self, spot: &Spot) -> Outcome<()> {
        self.add(other.items.iter().cloned(), spot)?;
        for var in &other.vars {
            vars::add(&mut self.vars, var, spot)?;
        }
        self.configure(&other.config, spot)
    }

    /// Takes in a configuration; of two that name a field of the same path, the first may win.
    fn configure(&mut self, more: &Arc<Config>, spot: &Spot) -> Outcome<()> {
        if !std::mem::replace(&mut self.is_configured, true) {
            self.config = Arc::clone(more);
            return self.configure_anew(spot);
        }
        // What holds without configurations is in every configuration.
        if Arc::ptr_eq(more, &self.config) || Arc::ptr_eq(more, &Config::default_fields()) {
            return Ok(());
        }
        Arc::make_mut(&mut self.config)
            .add(more)
            .ok_or_else(|| disagree(spot))
    }

    /// Takes the configuration as if it were the first.
    fn configure_anew(&mut self, spot: &Spot) -> Outcome<()> {
        if !Arc::ptr_eq(&self.config, &Config::default_fields()) {
            let mut config = Config::default();
            config.add(&self.config).ok_or_else(|| disagree(spot))?;
            self.config = Arc::new(config);
        }
        Ok(())
    }

    /// Notes which keys are there, after they changed.
    pub(super) fn count(&mut self) {
        self.ids = self.items.iter().map(Item::id).collect();
    }
}

fn disagree(spot: &Spot) -> Fault {
    spot.wrong(
        "two configurations disagree on whether a field is created",
        "give both the same `create`",
    )
}

/// Sees that going into a directory ends.
fn enter(place: &Place<'_>, dir: &str, spot: &Spot) -> Outcome<()> {
    if place.depth >= MAX_LAYERS {
        return Err(spot.too_much(format!("kustomizations are nested deeper than {MAX_LAYERS}")));
    }
    match place.contained_in(dir) {
        Some(visited) => Err(spot.wrong(
            format!(
                "a cycle: {} contains {visited}, which led here",
                if dir.is_empty() { "." } else { dir }
            ),
            "name a directory that does not lead back",
        )),
        None => Ok(()),
    }
}

/// Refuses what Serin does not render.
fn refuse(loaded: &Loaded) -> Outcome<()> {
    let Loaded { spec, spot } = loaded;
    let attributed = "Serin does not render this path: what it depends on is told by its files";
    let fields = [
        ("crds", !spec.crds.is_empty(), "`crds` are not read"),
        (
            "openapi",
            !spec.openapi.is_empty(),
            "`openapi` schemas are not read",
        ),
        (
            "generators",
            !spec.generators.is_empty(),
            "`generators` are plugins",
        ),
        (
            "validators",
            !spec.validators.is_empty(),
            "`validators` are plugins",
        ),
        (
            "helmCharts",
            !spec.helm_charts.is_empty(),
            "Helm charts are not rendered",
        ),
        (
            "helmChartInflationGenerator",
            !spec.helm_chart_inflation_generator.is_empty(),
            "Helm charts are not rendered",
        ),
    ];
    match fields.into_iter().find(|(_, used, _)| *used) {
        Some((field, _, message)) => Err(spot.at(&format!("/{field}")).beyond(message, attributed)),
        None => Ok(()),
    }
}

/// Tells whether `buildMetadata` asks for the origin of every object. Only that of the outermost kustomization counts.
fn origins(loaded: &Loaded) -> Outcome<bool> {
    let asked = &loaded.spec.build_metadata;
    match asked.iter().position(|option| option != ORIGINS) {
        Some(at) => Err(loaded.spot.at(&format!("/buildMetadata/{at}")).beyond(
            "of `buildMetadata` only originAnnotations are written",
            "Serin does not render this path: what it depends on is told by its files",
        )),
        None => Ok(!asked.is_empty()),
    }
}

const ORIGINS: &str = "originAnnotations";

const ORIGIN: &str = "config.kubernetes.io/origin";

/// Annotations that kustomize keeps to itself unless it is asked for them.
const OWN: [&str; 2] = [ORIGIN, "alpha.config.kubernetes.io/transformations"];

/// Leaves out what kustomize leaves out when it prints, and writes where an object is from if a directory to tell it
/// from is given.
fn tidy(item: &mut Item, from: Option<&str>) {
    // kustomize prints no empty `annotations`.
    if item
        .value
        .pointer("/metadata/annotations")
        .is_some_and(Value::is_null)
    {
        item.set_metadata("annotations", "");
    }
    item.spell_out_annotations();
    let annotations = item.map_at("/metadata/annotations");
    let is_tidy =
        annotations.is_none_or(|map| !map.is_empty() && !OWN.iter().any(|own| map.contains_key(*own)));
    if is_tidy && from.is_none() {
        return;
    }
    let origin = from.map(|dir| origin(item, dir));
    let Some(metadata) = item.edit().get_mut("metadata") else {
        return;
    };
    let Some(map) = object_in(metadata, "annotations") else {
        return;
    };
    map.retain(|key, _| !OWN.contains(&key.as_str()));
    map.extend(origin.map(|origin| (ORIGIN.to_owned(), origin.into())));
    if map.is_empty()
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.remove("annotations");
    }
}

/// Where an object is from, as kustomize tells it.
fn origin(item: &Item, dir: &str) -> String {
    let path = relative(dir, &item.file);
    match item.made_by {
        None => format!("path: {path}\n"),
        Some(kind) => {
            format!("configuredIn: {path}\nconfiguredBy:\n  apiVersion: builtin\n  kind: {kind}\n")
        }
    }
}

fn rendered(item: Item) -> Rendered {
    Rendered {
        object: Object::from(item.value),
        file: item.file,
        line: item.line,
    }
}
