//! Where a repository is, however its address is written: a clone over https or ssh, an address for scp, the page
//! in a browser. Pure; used to tell whether two addresses mean the same repository.

use std::fmt;

use url::Url;

/// A repository at a host. Equal if host and path are, whatever leads there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepositoryAddress {
    host: String,
    path: String,
}

/// Whose way of writing addresses counts: what is a way to write them for one forge may be another repository
/// on another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Host and path say all.
    #[default]
    Plain,
    /// Bitbucket Data Center.
    DataCenter,
    /// Azure DevOps.
    Azure,
}

/// Takes the address of a repository apart as its forge is asked: the address of the forge, and the repository
/// there, written as it was. What leads there by ssh is asked by https.
pub(super) fn forge_and_repository(
    text: &str,
    dialect: Dialect,
) -> Result<(String, String), ParseAddressError> {
    let same = RepositoryAddress::parse(text, dialect)?;
    let text = text.trim();
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let (host, path) = match text.split_once("://") {
        Some(_) => of_url(text),
        None => of_scp(text),
    }
    .ok_or(ParseAddressError)?;
    let site = match &url {
        Some(url) => url.origin().ascii_serialization(),
        None => format!("https://{}", same.host),
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    match dialect {
        Dialect::Plain => Ok((site, path.to_owned())),
        Dialect::Azure => {
            let (host, path) = azure(self::site(&host.to_lowercase()), &parts(path));
            let public = host == "dev.azure.com";
            Ok((if public { format!("https://{host}") } else { site }, path))
        }
        Dialect::DataCenter if url.is_none() => Err(ParseAddressError),
        Dialect::DataCenter => {
            let context = path
                .split_once("scm/")
                .map_or("", |(before, _)| before.trim_end_matches('/'));
            let site = format!("{site}/{context}");
            Ok((site.trim_end_matches('/').to_owned(), data_center(&parts(path))))
        }
    }
}

/// Says where a forge is, given the address that a source is a clone of: its address, if that can be known, and the
/// repository there. `url` is the address of the forge, if that was given.
pub(super) fn where_is(clone: &str, dialect: Dialect, url: Option<&str>) -> Option<(Option<String>, String)> {
    let Ok((site, path)) = forge_and_repository(clone, dialect) else {
        // Bitbucket Data Center by ssh: not at which address it is, but what the repository is.
        let address = RepositoryAddress::parse(clone, dialect).ok()?;
        return Some((None, address.path));
    };
    if dialect != Dialect::Plain {
        return Some((Some(site), path));
    }
    // A forge may be served under a path, which is no part of the repository's name.
    let under = url
        .and_then(|url| Url::parse(url).ok())
        .map(|url| decoded(url.path()));
    let under = under.as_deref().unwrap_or_default().trim_matches('/');
    let path = match path.strip_prefix(under) {
        Some(rest) if !under.is_empty() && rest.starts_with('/') => rest.trim_start_matches('/').to_owned(),
        _ => path,
    };
    Some((Some(site), path))
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').collect()
}

/// A text that is no address of a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not the address of a repository, such as https://HOST/OWNER/NAME or git@HOST:OWNER/NAME")]
pub struct ParseAddressError;

impl RepositoryAddress {
    /// Takes an address apart. Credentials, ports and `.git` make no difference, nor does the case: no forge has
    /// two repositories that differ in it.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, ParseAddressError> {
        let text = text.trim();
        let (host, path) = match text.split_once("://") {
            Some(_) => of_url(text),
            None => of_scp(text),
        }
        .ok_or(ParseAddressError)?;
        let (host, path) = (site(&host.to_lowercase()), path.to_lowercase());
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let parts = parts(path);
        let nothing = |part: &&str| part.is_empty() || matches!(*part, "." | "..");
        if host.is_empty() || parts.iter().any(nothing) {
            return Err(ParseAddressError);
        }
        let (host, parts) = match dialect {
            Dialect::Plain => (host, parts.join("/")),
            Dialect::DataCenter => (host, data_center(&parts)),
            Dialect::Azure => azure(host, &parts),
        };
        Ok(Self { host, path: parts })
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for RepositoryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

fn of_url(text: &str) -> Option<(String, String)> {
    let url = Url::parse(text).ok()?;
    if !matches!(
        url.scheme(),
        "http" | "https" | "ssh" | "git" | "git+ssh" | "git+https"
    ) {
        return None;
    }
    Some((url.host_str()?.to_owned(), decoded(url.path())))
}

/// `git@host:path`.
fn of_scp(text: &str) -> Option<(String, String)> {
    let (host, path) = text.split_once(':')?;
    let host = host.rsplit('@').next()?;
    // A path with a colon, a drive, or another transport; or credentials, which must not be taken for a path.
    let is_host = host.len() > 1 && !host.contains(['/', '\\', ' ']) && !path.is_empty();
    let is_host = is_host && !path.starts_with(':') && !path.contains('@');
    // No forge has names with a percent sign; Azure DevOps writes a space as %20 here, too.
    is_host.then(|| (host.to_owned(), decoded(path)))
}

fn decoded(path: &str) -> String {
    // `+` is a space only in forms.
    let form = format!("={}", path.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    pairs
        .next()
        .map(|(_, path)| path.into_owned())
        .unwrap_or_default()
}

/// Some sites have names of their own for ssh and for their API.
fn site(host: &str) -> String {
    let host = host.trim_end_matches('.');
    match host {
        "www.github.com" | "ssh.github.com" | "api.github.com" => "github.com".to_owned(),
        "altssh.gitlab.com" => "gitlab.com".to_owned(),
        "altssh.bitbucket.org" | "api.bitbucket.org" | "www.bitbucket.org" => "bitbucket.org".to_owned(),
        "ssh.dev.azure.com" | "vs-ssh.visualstudio.com" => "dev.azure.com".to_owned(),
        other => other.to_owned(),
    }
}

/// The page of a repository, a clone over https, and over ssh; a repository with the name of its project needs no
/// project. An organization may have a host of its own.
fn azure(host: String, parts: &[&str]) -> (String, String) {
    let (host, organization) = match host.strip_suffix(".visualstudio.com") {
        Some(organization) => ("dev.azure.com".to_owned(), Some(organization.to_owned())),
        None => (host, None),
    };
    let path = match parts {
        ["v3", rest @ ..] => rest.join("/"),
        ["_git", name] => format!("{name}/{name}"),
        [project, "_git", name] if organization.is_some() => format!("{project}/{name}"),
        [organization, "_git", name] => format!("{organization}/{name}/{name}"),
        [before @ .., "_git", name] => format!("{}/{name}", before.join("/")),
        parts => parts.join("/"),
    };
    match organization {
        Some(organization) => (host, format!("{organization}/{path}")),
        None => (host, path),
    }
}

/// `…/scm/PROJECT/NAME` is a clone over https, `…/projects/PROJECT/repos/NAME` the page; all may be served under a
/// path.
fn data_center(parts: &[&str]) -> String {
    match parts {
        [.., "scm", project, name] | [.., "projects", project, "repos", name] => format!("{project}/{name}"),
        [.., "users", user, "repos", name] => format!("~{user}/{name}"),
        parts => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, dialect: Dialect) -> String {
        RepositoryAddress::parse(text, dialect)
            .map_or_else(|error| error.to_string(), |address| address.to_string())
    }

    #[test]
    fn one_repository_has_many_addresses() {
        for (same, dialect, addresses) in [
            (
                "github.com/my-org/apps",
                Dialect::Plain,
                &[
                    "https://github.com/my-org/apps",
                    "https://github.com/My-Org/Apps.git",
                    "https://user:token@github.com/my-org/apps.git/",
                    "git@github.com:my-org/apps.git",
                    "ssh://git@github.com/my-org/apps",
                    "ssh://git@ssh.github.com:443/my-org/apps.git",
                    "github.com:my-org/apps",
                ][..],
            ),
            (
                "gitlab.example.com/group/sub/project",
                Dialect::Plain,
                &[
                    "https://gitlab.example.com/group/sub/project.git",
                    "git@GitLab.example.com:group/sub/project.git",
                    "ssh://git@gitlab.example.com:2222/group/sub/project",
                ],
            ),
            (
                "dev.azure.com/org/my project/apps",
                Dialect::Azure,
                &[
                    "https://org.visualstudio.com/My%20Project/_git/apps",
                    "https://dev.azure.com/org/my%20project/_git/apps",
                    "https://org@dev.azure.com/org/My%20Project/_git/apps",
                    "git@ssh.dev.azure.com:v3/org/my project/apps",
                    "ssh://git@ssh.dev.azure.com/v3/org/my%20project/apps",
                ],
            ),
            (
                "dev.azure.com/org/apps/apps",
                Dialect::Azure,
                &[
                    "https://dev.azure.com/org/_git/apps",
                    "https://dev.azure.com/org/apps/_git/apps",
                    "https://org.visualstudio.com/_git/apps",
                ],
            ),
            (
                "bitbucket.example.com/prj/apps",
                Dialect::DataCenter,
                &[
                    "https://bitbucket.example.com/scm/prj/apps.git",
                    "https://bitbucket.example.com/context/scm/PRJ/apps.git",
                    "ssh://git@bitbucket.example.com:7999/prj/apps.git",
                    "https://bitbucket.example.com/projects/PRJ/repos/apps",
                ],
            ),
            (
                "bitbucket.example.com/~ada/apps",
                Dialect::DataCenter,
                &[
                    "https://bitbucket.example.com/scm/~ada/apps.git",
                    "https://bitbucket.example.com/users/ada/repos/apps",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(shown(address, dialect), same, "{address}");
            }
        }
    }

    #[test]
    fn a_forge_is_asked_at_the_site_of_the_repository() {
        for (address, dialect, site, repository) in [
            (
                "https://git.example.com:3000/Team/Apps.git",
                Dialect::Plain,
                "https://git.example.com:3000",
                "Team/Apps",
            ),
            (
                "http://git.example.com/team/apps",
                Dialect::Plain,
                "http://git.example.com",
                "team/apps",
            ),
            (
                "git@github.com:Team/apps.git",
                Dialect::Plain,
                "https://github.com",
                "Team/apps",
            ),
            (
                "ssh://git@ssh.github.com:443/team/apps",
                Dialect::Plain,
                "https://github.com",
                "team/apps",
            ),
            (
                "https://gitlab.com/1234",
                Dialect::Plain,
                "https://gitlab.com",
                "1234",
            ),
            (
                "https://bb.example.com/context/scm/PRJ/apps.git",
                Dialect::DataCenter,
                "https://bb.example.com/context",
                "PRJ/apps",
            ),
            (
                "https://bb.example.com/scm/prj/apps.git",
                Dialect::DataCenter,
                "https://bb.example.com",
                "prj/apps",
            ),
            (
                "https://org@dev.azure.com/Org/My%20Project/_git/apps",
                Dialect::Azure,
                "https://dev.azure.com",
                "Org/My Project/apps",
            ),
        ] {
            let found = forge_and_repository(address, dialect).unwrap();
            assert_eq!(found, (site.to_owned(), repository.to_owned()), "{address}");
        }
        let ssh = "ssh://git@bb.example.com:7999/prj/apps.git";
        assert!(forge_and_repository(ssh, Dialect::DataCenter).is_err());
    }

    #[test]
    fn others_are_others() {
        let all = [
            "https://github.com/my-org/apps",
            "https://github.com/my-org/apps2",
            "https://github.com/other/apps",
            "https://github.example.com/my-org/apps",
            "https://gitlab.com/my-org/apps",
            "https://gitlab.com/my-org/sub/apps",
            "https://github.com/scm/my-org/apps",
            "https://github.com/my-org/_git/apps",
            "https://github.com/v3/my-org/apps",
        ];
        let shown: std::collections::BTreeSet<_> =
            all.iter().map(|address| shown(address, Dialect::Plain)).collect();
        assert_eq!(shown.len(), all.len());
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_quoted() {
        for text in [
            "",
            "apps",
            "/srv/git/hidden.git",
            "file:///srv/git/hidden.git",
            "C:\\hidden",
            "https://",
            "https://github.com",
            "git@github.com:a/../hidden",
            "git@host:",
            "ada:hidden@host:path",
            "ext::hidden",
            "https://user:hidden@/x",
        ] {
            let error = RepositoryAddress::parse(text, Dialect::Plain);
            // `user:hidden@/x` has no host.
            assert!(error.is_err(), "{text}: {error:?}");
            assert!(!error.unwrap_err().to_string().contains("hidden"));
        }
    }
}
