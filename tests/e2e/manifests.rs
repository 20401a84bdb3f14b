//! What the repository of a test holds.

/// How traffic is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Router {
    Kubernetes,
    Skipper,
}

impl Router {
    /// Returns the provider's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Skipper => "skipper",
        }
    }
}

/// What differs between tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) router: Router,
    /// `analysis.interval`.
    pub(crate) interval: &'static str,
}

/// Returns the files of a revision: path and content.
pub(crate) fn files(plan: Plan, image: &str) -> [(&'static str, String); 2] {
    [
        ("apps/podinfo/deployment.yaml", deployment(image)),
        ("apps/podinfo/canary.yaml", canary(plan)),
    ]
}

/// Returns the Ingress. Serin applies none: it belongs to whoever runs the cluster.
pub(crate) const INGRESS: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: podinfo
  namespace: test
spec:
  ingressClassName: skipper
  rules:
    - host: podinfo.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: podinfo
                port:
                  number: 80
";

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: podinfo
  namespace: test
spec:
  replicas: 2
  selector:
    matchLabels:
      app: podinfo
  template:
    metadata:
      labels:
        app: podinfo
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: podinfo
          image: {image}
          ports:
            - name: http
              containerPort: 9898
"
    )
}

fn canary(plan: Plan) -> String {
    let Plan { router, interval } = plan;
    let (reference, steps) = match router {
        Router::Kubernetes => ("", "iterations: 3"),
        Router::Skipper => (INGRESS_REF, "stepWeight: 20\n    maxWeight: 60"),
    };
    format!(
        "apiVersion: flagger.app/v1beta1
kind: Canary
metadata:
  name: podinfo
  namespace: test
spec:
  provider: {provider}
  targetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: podinfo
{reference}  progressDeadlineSeconds: 120
  service:
    port: 80
    targetPort: 9898
  analysis:
    interval: {interval}
    threshold: 3
    {steps}
    metrics:
      - name: request-success-rate
        thresholdRange:
          min: 99
        interval: 1m
      - name: request-duration
        thresholdRange:
          max: 500
        interval: 1m
",
        provider = router.name()
    )
}

const INGRESS_REF: &str = "  ingressRef:
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    name: podinfo
";
