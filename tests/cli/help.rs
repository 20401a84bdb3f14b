//! What `--help` says: only what exists.

use insta::assert_snapshot;

use super::environment::TestEnvironment;

#[test]
fn of_the_program() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["--help"]), @r#"
    exit 0
    --- stdout
    A GitOps sidecar for progressive delivery: git push starts a canary, the commit says how it went

    Usage: serin [OPTIONS] <COMMAND>

    Commands:
      run      Run the sidecar: watch a checkout and a cluster, roll out, report on commits
      plan     Print what commits would start, and why; offline
      render   Print the objects under a path, as kustomize builds them; offline
      doctor   Say what in this cluster will fight with a rollout, with the exact fix
      status   Print the outcomes of a commit
      cluster  Serve the embedded cluster, for kubectl and for trying `serin run`
      crd      Print the custom resource definitions
      demo     Watch a good commit go green and a bad one go red, without a cluster
      help     Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]
    "#);
}

#[test]
fn of_run() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["run", "-h"]), @r"
    exit 0
    --- stdout
    Run the sidecar: watch a checkout and a cluster, roll out, report on commits

    Usage: serin run [OPTIONS]

    Options:
          --checkout <DIR>                 Checkout that another process updates [default: .]
          --path <SUBDIR>                  Folder of the checkout that holds the manifests
          --branch <NAME>                  Branch to follow [default: the one that is checked out]
          --kubeconfig <FILE>              Kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or the
                                           pod's service account]
          --context <NAME>                 Context of the kubeconfig
      -n, --namespace <NAME>               Namespace to watch, and of manifests that name none [default:
                                           all, and `default`]
      -A, --all-namespaces                 Watch all namespaces (the default)
          --status <WHERE>                 Where outcomes are posted; may be repeated [default: notes]
                                           [possible values: notes, github, gitlab, gitea, bitbucket,
                                           bitbucket-server, azuredevops, none]
          --status-url <URL>               Address of the forge, such as https://git.example.com
                                           [default: where the source is cloned from, or the forge's
                                           public address]
          --status-repo <OWNER/NAME>       Repository on the forge [default: the one that the source is
                                           cloned from]
          --status-token-file <FILE>       File that holds the forge's token; read again when it changes
          --notes-repo <DIR>               Bare repository for the notes, if the checkout is not
                                           writable
          --flux <NAMESPACE/NAME>          Source of Flux: its artifacts are read, unless there is a
                                           --checkout; what its Kustomizations have applied decides when
                                           a commit is live. A GitRepository, or KIND/NAMESPACE/NAME
          --flux-nudge                     Ask Flux to fetch its source when the checkout has a commit
                                           before it
          --apply                          Apply the manifests of the checkout: for clusters where no
                                           Flux does
          --apply-deadline <DURATION>      Time for a commit's change to become live before its status
                                           is an error [default: 30m]
          --status-unrelated <WHAT>        What is said on a commit that touches no canary; `success`
                                           lets a required check pass [default: silent] [possible
                                           values: silent, success]
          --poll <DURATION>                Safety poll of the checkout [default: 5s]
          --listen <ADDR>                  Address of /metrics, /healthz, /readyz and /notify [default:
                                           127.0.0.1:8080]
          --mesh-provider <NAME>           Router of canaries that name none [default: istio]
          --selector-labels <LIST>         Labels that may select a target's pods; the first that does
                                           is rewritten for the primary [default:
                                           app,name,app.kubernetes.io/name]
          --enable-config-tracking <BOOL>  Track ConfigMaps and Secrets of targets [default: true]
                                           [possible values: true, false]
          --metrics-server <URL>           Prometheus API of canaries that name none [default:
                                           http://prometheus:9090]
          --include-label-prefix <LIST>    Prefixes of labels and annotations that reach the primary; *
                                           is all
          --no-cross-namespace-refs        Refuse references to other namespaces
          --drain <DURATION>               Time between routing away from a workload and scaling it down
                                           [default: 5s]
          --cluster-name <NAME>            Name of this cluster: part of the contexts of commit statuses
          --lease[=<BOOL>]                 Act only while holding a Lease [default: true in a cluster,
                                           false elsewhere] [possible values: true, false]
          --state-namespace <NAME>         Namespace of the Lease and of the state ConfigMap [default:
                                           the pod's, or --namespace, or `default`]
          --source-name <NAME>             Name of this source: its state is in ConfigMap serin-NAME
                                           [default: the directory's name]
          --allow-egress <CIDR>            Networks that addresses from custom resources may reach
                                           although they are loopback, link-local or the API server; may
                                           be repeated. In a cluster such addresses are refused;
                                           elsewhere only once this is given
          --notify-secret-file <FILE>      File that holds the secret of push webhooks to /notify;
                                           without it only this machine may call
          --touch-file <FILE>              File that somebody touches to say that there is something
                                           new, as git-sync does
      -h, --help                           Print help (see more with '--help')
      -V, --version                        Print version

    Clone:
          --repo <URL>                     Repository to clone and to keep current with the `git`
                                           command, in place of a checkout
          --repo-token-file <FILE>         File that holds the token or password for it; read again for
                                           each fetch
          --repo-username <NAME>           User of the token [default: that of the URL, or git]
          --repo-ssh-key-file <FILE>       File with the SSH key for it
          --repo-known-hosts-file <FILE>   File with the SSH keys of hosts [default: the user's]
          --repo-credential-helper <NAME>  Credential helper of git to ask, such as store or cache
          --repo-ca-file <FILE>            File with the certificate authorities of its host (PEM)
          --repo-interval <DURATION>       Time between two fetches that no webhook asks for [default:
                                           1m]
          --repo-depth <COUNT>             Commits to fetch, counted from the newest; 0 is all [default:
                                           100]
          --repo-timeout <DURATION>        Longest time for a fetch [default: 10m]
          --repo-max-size <SIZE>           Largest size of the clone [default: 2Gi]
          --clone-dir <DIR>                Folder to keep clones in [default: serin/clones in the user's
                                           cache, or one for temporary files]

    Reaching the forge:
          --status-token-env <NAME>
              Environment variable that holds the forge's token
          --status-proxy <URL>
              Proxy in front of the forge [default: what HTTPS_PROXY and NO_PROXY say]
          --status-proxy-file <FILE>
              File that holds the proxy's address, if that needs a user and a password
          --status-ca-file <FILE>
              Authorities that the forge's certificate is trusted by, PEM [default: the system's]
          --status-cert-file <FILE>
              Certificate to show to the forge, PEM
          --status-key-file <FILE>
              Key of that certificate, PEM
          --status-secret <NAMESPACE/NAME>
              Secret with the forge's token, and more
          --status-provider <NAMESPACE/NAME>
              Notification Provider of Flux that is reused as it is: forge, repository, credentials
          --status-mirror-of <URL>
              The forge's repository mirrors the one at this address, which is where the source is
              cloned from; else the two must be the same
          --pull-request-comment
              Keep one comment on each pull request that a commit came from: statuses of a merge commit
              are not shown there

    GitHub:
          --github-app-id <ID>
              GitHub App to post as, in place of a token: its id or client id. It shows check runs with
              the measurements
          --github-app-private-key-file <FILE>
              Private key of the App, PEM; read again when it changes
          --github-app-installation-id <ID>
              Installation of the App [default: the one that has the repository]
          --github-deployments <ENVIRONMENT>
              Environment of which each commit as a whole is a deployment, too

    Policy:
          --judge-by <WHOSE>           Whose thresholds judge a commit that edits them [default: commit]
                                       [possible values: commit, promoted]
          --on-failure <WHAT>          What to do with a commit that a canary failed with [default:
                                       nothing] [possible values: nothing, revert-branch, pull-request]
          --revert-remote <URL>        Address to push the branches of reverts to [default: --repo, or
                                       that of --status-url and --status-repo]
          --revert-token-file <FILE>   File that holds the token to push reverts with [default: that of
                                       the default address]
          --revert-ssh-key <FILE>      File that holds the SSH key to push reverts with
          --revert-known-hosts <FILE>  File that holds the SSH keys of hosts that reverts are pushed to
          --require-verified           Act only on commits that are signed by one of the keys of
                                       --verify-keys; with --flux alone: that Flux verified
          --verify-keys <PATH>         File or folder with public keys: SSH (.pub, .sshpub, or
                                       allowed_signers) or OpenPGP (.asc); may be repeated

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]
    ");
}

#[test]
fn of_plan() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["plan", "-h"]), @r#"
    exit 0
    --- stdout
    Print what commits would start, and why; offline

    Usage: serin plan [OPTIONS] [A..B]

    Arguments:
      [A..B]  Commits: A..B, or one commit for what it changed [default: HEAD]

    Options:
          --checkout <DIR>        Checkout that another process updates [default: .]
          --path <SUBDIR>         Folder of the checkout that holds the manifests
          --branch <NAME>         Branch to follow [default: the one that is checked out]
      -n, --namespace <NAME>      Namespace of manifests that name none [default: default]
          --mesh-provider <NAME>  Router of canaries that name none [default: istio]
          --output <FORMAT>       Print for people or for programs [default: human] [possible values:
                                  human, json]
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]

    Exit codes: 0 the plan can be carried out, 1 something in git is wrong.
    "#);
}

#[test]
fn of_doctor() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["doctor", "-h"]), @"
    exit 0
    --- stdout
    Say what in this cluster will fight with a rollout, with the exact fix

    Usage: serin doctor [OPTIONS]

    Options:
          --kubeconfig <FILE>
              Kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or the pod's service account]
          --context <NAME>
              Context of the kubeconfig
      -n, --namespace <NAME>
              Namespace to watch, and of manifests that name none [default: all, and `default`]
      -A, --all-namespaces
              Watch all namespaces (the default)
          --checkout <DIR>
              Checkout to examine beside the cluster
          --path <SUBDIR>
              Folder of the checkout that holds the manifests
          --service-account <NAMESPACE/NAME>
              Service account of the sidecar, whose rights are examined [default: who asks]
          --output <FORMAT>
              Print for people or for programs [default: human] [possible values: human, json]
      -h, --help
              Print help (see more with '--help')
      -V, --version
              Print version

    How the sidecar is run:
          --mesh-provider <NAME>
              Router of canaries that name none [default: istio]
          --selector-labels <LIST>
              Labels that may select a target's pods; the first that does is rewritten for the primary
              [default: app,name,app.kubernetes.io/name]
          --enable-config-tracking <BOOL>
              Track ConfigMaps and Secrets of targets [default: true] [possible values: true, false]
          --flux <NAMESPACE/NAME>
              Source of Flux: its artifacts are read, unless there is a --checkout; what its
              Kustomizations have applied decides when a commit is live. A GitRepository, or
              KIND/NAMESPACE/NAME
          --flux-nudge
              Ask Flux to fetch its source when the checkout has a commit before it
          --apply
              Apply the manifests of the checkout: for clusters where no Flux does
          --lease[=<BOOL>]
              Act only while holding a Lease [default: true in a cluster, false elsewhere] [possible
              values: true, false]
          --state-namespace <NAME>
              Namespace of the Lease and of the state ConfigMap [default: the pod's, or --namespace, or
              `default`]
          --status-secret <NAMESPACE/NAME>
              Secret that the sidecar has the forge's token from
          --status-provider <NAMESPACE/NAME>
              Notification Provider of Flux that the sidecar reuses

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]

    Exit codes: 0 nothing will fight, 1 something will.
    ");
}

#[test]
fn of_status() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["status", "-h"]), @r"
    exit 0
    --- stdout
    Print the outcomes of a commit

    Usage: serin status [OPTIONS] [REV]

    Arguments:
      [REV]  Commit [default: HEAD]

    Options:
          --checkout <DIR>            Checkout that another process updates [default: .]
          --path <SUBDIR>             Folder of the checkout that holds the manifests
          --branch <NAME>             Branch to follow [default: the one that is checked out]
          --status <WHERE>            Where outcomes are posted; may be repeated [default: notes]
                                      [possible values: notes, github, gitlab, gitea, bitbucket,
                                      bitbucket-server, azuredevops, none]
          --status-url <URL>          Address of the forge, such as https://git.example.com [default:
                                      where the source is cloned from, or the forge's public address]
          --status-repo <OWNER/NAME>  Repository on the forge [default: the one that the source is
                                      cloned from]
          --status-token-file <FILE>  File that holds the forge's token; read again when it changes
          --notes-repo <DIR>          Bare repository for the notes, if the checkout is not writable
          --kubeconfig <FILE>         Kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or the
                                      pod's service account]
          --context <NAME>            Context of the kubeconfig
          --output <FORMAT>           Print for people or for programs [default: human] [possible
                                      values: human, json]
      -h, --help                      Print help (see more with '--help')
      -V, --version                   Print version

    Reaching the forge:
          --status-token-env <NAME>
              Environment variable that holds the forge's token
          --status-proxy <URL>
              Proxy in front of the forge [default: what HTTPS_PROXY and NO_PROXY say]
          --status-proxy-file <FILE>
              File that holds the proxy's address, if that needs a user and a password
          --status-ca-file <FILE>
              Authorities that the forge's certificate is trusted by, PEM [default: the system's]
          --status-cert-file <FILE>
              Certificate to show to the forge, PEM
          --status-key-file <FILE>
              Key of that certificate, PEM
          --status-secret <NAMESPACE/NAME>
              Secret with the forge's token, and more
          --status-provider <NAMESPACE/NAME>
              Notification Provider of Flux that is reused as it is: forge, repository, credentials

    GitHub:
          --github-app-id <ID>
              GitHub App to post as, in place of a token: its id or client id. It shows check runs with
              the measurements
          --github-app-private-key-file <FILE>
              Private key of the App, PEM; read again when it changes
          --github-app-installation-id <ID>
              Installation of the App [default: the one that has the repository]
          --github-deployments <ENVIRONMENT>
              Environment of which each commit as a whole is a deployment, too

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]

    Exit codes: 0 all went well, 1 something failed, 4 not decided yet, 5 nothing was said.
    ");
}

#[test]
fn of_cluster() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["cluster", "-h"]), @r#"
    exit 0
    --- stdout
    Serve the embedded cluster, for kubectl and for trying `serin run`

    Usage: serin cluster [OPTIONS]

    Options:
          --listen <ADDR>            Address to serve the Kubernetes API on; port 0 takes a free one
                                     [default: 127.0.0.1:6443]
          --write-kubeconfig <FILE>  Kubeconfig file to write
          --world <FILE>             A world of clients and images (YAML); its Prometheus API is served
                                     at --prometheus
          --prometheus <ADDR>        Address to serve the Prometheus API of the world on
      -h, --help                     Print help
      -V, --version                  Print version

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]
    "#);
}

#[test]
fn of_crd() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["crd", "-h"]), @r#"
    exit 0
    --- stdout
    Print the custom resource definitions

    Usage: serin crd [OPTIONS]

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]
    "#);
}

#[test]
fn of_demo() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["demo", "-h"]), @r#"
    exit 0
    --- stdout
    Watch a good commit go green and a bad one go red, without a cluster

    Usage: serin demo [OPTIONS]

    Options:
          --keep <DIR>  Keep the repository of the demo in this (new or empty) folder
      -h, --help        Print help
      -V, --version     Print version

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]
    "#);
}

#[test]
fn nothing_is_not_a_command() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&[]), @r#"
    exit 2
    --- stderr
    A GitOps sidecar for progressive delivery: git push starts a canary, the commit says how it went

    Usage: serin [OPTIONS] <COMMAND>

    Commands:
      run      Run the sidecar: watch a checkout and a cluster, roll out, report on commits
      plan     Print what commits would start, and why; offline
      render   Print the objects under a path, as kustomize builds them; offline
      doctor   Say what in this cluster will fight with a rollout, with the exact fix
      status   Print the outcomes of a commit
      cluster  Serve the embedded cluster, for kubectl and for trying `serin run`
      crd      Print the custom resource definitions
      demo     Watch a good commit go green and a bad one go red, without a cluster
      help     Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Other options:
          --log-level <LEVEL>  Log to stderr: error, warn, info, debug, trace, or a filter such as
                               serin=debug,kube=info [default: info for run and cluster, warn for the
                               others, error for demo] [env: SERIN_LOG]
    "#);
}

#[test]
fn unknown_words_are_wrong_usage() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["promote"]), @r#"
    exit 2
    --- stderr
    error: unrecognized subcommand 'promote'

    Usage: serin [OPTIONS] <COMMAND>

    For more information, try '--help'.
    "#);
}

/// The table of the README and the commands that exist are the same.
#[test]
fn the_readme_lists_the_commands_that_exist() {
    let env = TestEnvironment::new();
    let ended = env.finish(env.serin(&["--help"]));
    let commands = ended.stdout.split("Commands:\n").nth(1).unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let mut commands: Vec<&str> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    commands.retain(|name| *name != "help");
    let readme = include_str!("../../README.md");
    let mut listed: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `serin "))
        .filter_map(|line| line.split([' ', '`']).next())
        .collect();
    commands.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, commands);
}
