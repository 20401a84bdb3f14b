//! The capability table of all routers that a Canary may name. Validation, lint and documentation are made
//! from it; a test holds it against `traffic/`.

/// A router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the routers' own")]
pub enum Provider {
    Apisix,
    Appmesh,
    AppmeshV1beta2,
    Contour,
    GatewayapiV1,
    GatewayapiV1beta1,
    Gloo,
    Istio,
    Knative,
    Kubernetes,
    Kuma,
    Linkerd,
    Nginx,
    Osm,
    Skipper,
    SmiV1alpha1,
    SmiV1alpha2,
    SmiV1alpha3,
    Traefik,
}

impl Provider {
    /// Every router, in the order of the CRD's enum.
    pub const ALL: [Self; 19] = [
        Self::Apisix,
        Self::Appmesh,
        Self::AppmeshV1beta2,
        Self::Contour,
        Self::GatewayapiV1,
        Self::GatewayapiV1beta1,
        Self::Gloo,
        Self::Istio,
        Self::Knative,
        Self::Kubernetes,
        Self::Kuma,
        Self::Linkerd,
        Self::Nginx,
        Self::Osm,
        Self::Skipper,
        Self::SmiV1alpha1,
        Self::SmiV1alpha2,
        Self::SmiV1alpha3,
        Self::Traefik,
    ];

    /// Returns the name, as a Canary spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Apisix => "apisix",
            Self::Appmesh => "appmesh",
            Self::AppmeshV1beta2 => "appmesh:v1beta2",
            Self::Contour => "contour",
            Self::GatewayapiV1 => "gatewayapi:v1",
            Self::GatewayapiV1beta1 => "gatewayapi:v1beta1",
            Self::Gloo => "gloo",
            Self::Istio => "istio",
            Self::Knative => "knative",
            Self::Kubernetes => "kubernetes",
            Self::Kuma => "kuma",
            Self::Linkerd => "linkerd",
            Self::Nginx => "nginx",
            Self::Osm => "osm",
            Self::Skipper => "skipper",
            Self::SmiV1alpha1 => "smi:v1alpha1",
            Self::SmiV1alpha2 => "smi:v1alpha2",
            Self::SmiV1alpha3 => "smi:v1alpha3",
            Self::Traefik => "traefik",
        }
    }

    /// Finds a router by the name that a Canary spells.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Whether `traffic/` has an adapter for it.
    #[must_use]
    pub fn implemented(self) -> bool {
        matches!(self, Self::Kubernetes | Self::Skipper)
    }

    /// Whether it can split traffic by weight.
    #[must_use]
    pub fn weights(self) -> bool {
        self != Self::Kubernetes
    }
}
