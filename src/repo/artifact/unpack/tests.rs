use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;

/// An archive whose headers are written as given: the crate's own writer refuses some of what must be refused.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn add(mut self, kind: EntryType, path: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.add(EntryType::Regular, path, content)
    }

    fn gz(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        gz(&self.0)
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refusal(tar: Tar) -> String {
    unpack(&tar.gz()).unwrap_err().to_string()
}

#[test]
fn files_are_read_with_the_digest_of_their_content() {
    let tar = Tar::default()
        .add(EntryType::XGlobalHeader, "pax_global_header", b"")
        .add(EntryType::Directory, "./", b"")
        .add(EntryType::Directory, "apps/", b"")
        .file("./apps/a.yaml", b"a: 1\n")
        .file("apps/b.yaml", b"a: 1\n");
    let found = unpack(&tar.gz()).unwrap();
    assert_eq!(
        found.files.keys().collect::<Vec<_>>(),
        ["apps/a.yaml", "apps/b.yaml"]
    );
    let [a, b] = ["apps/a.yaml", "apps/b.yaml"].map(|path| &found.files[path]);
    assert_eq!(
        (a.id.clone(), a.content.as_deref()),
        (b.id.clone(), Some(&b"a: 1\n"[..]))
    );
    let digest = "37b128c59f1f5097f73f82691cb519f1f568667faab5ced1b4ab979d36837eae";
    assert_eq!(a.id.as_str(), digest);
}

#[test]
fn long_names_are_read_whole() {
    let long = format!("{}/x.yaml", "directory/".repeat(30).trim_end_matches('/'));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    builder.append_data(&mut header, &long, &b"{}"[..]).unwrap();
    let found = unpack(&gz(&builder.into_inner().unwrap())).unwrap();
    assert_eq!(found.files.keys().collect::<Vec<_>>(), [&long]);
}

#[test]
fn a_path_that_leaves_the_archive_refuses_it() {
    for path in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a\\b",
        "a//b",
        "a/./b",
        "a/..",
        "..",
        "././x",
    ] {
        let text = refusal(Tar::default().file("fine", b"").file(path, b"x"));
        assert!(text.contains("bad path"), "{path}: {text}");
    }
    let text = refusal(Tar::default().add(EntryType::Directory, "../up/", b""));
    assert!(text.contains("bad path"), "{text}");
    let deep = "a/".repeat(45) + "x";
    assert!(unpack(&Tar::default().file(&deep, b"").gz()).is_ok());
}

#[test]
fn a_path_that_is_too_long_or_too_deep_refuses_the_archive() {
    for (path, why) in [("a/".repeat(70) + "x", "deeper"), ("a".repeat(2000), "longer")] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        builder.append_data(&mut header, &path, &b""[..]).unwrap();
        let text = unpack(&gz(&builder.into_inner().unwrap()))
            .unwrap_err()
            .to_string();
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn what_is_no_plain_file_refuses_the_archive() {
    for (kind, what) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "device"),
        (EntryType::new(b'V'), "no plain file"),
    ] {
        let text = refusal(Tar::default().add(kind, "thing", b""));
        assert!(text.contains(what) && text.contains("thing"), "{text}");
    }
}

#[test]
fn paths_that_stand_for_two_things_refuse_the_archive() {
    let twice = Tar::default().file("a", b"1").file("./a", b"2");
    assert_eq!(refusal(twice), "the archive holds a bad path: `a` comes twice");
    let both = Tar::default().file("a", b"1").file("a/b", b"2");
    assert!(refusal(both).contains("a file and a directory"));
    let both = Tar::default()
        .file("a", b"1")
        .add(EntryType::Directory, "a/", b"");
    assert!(refusal(both).contains("a file and a directory"));
}

#[test]
fn names_that_are_not_utf8_are_counted() {
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.as_old_mut().name[..2].copy_from_slice(&[0xff, b'a']);
    header.set_cksum();
    let found = unpack(&gz(&[header.as_bytes().as_slice(), &[0; 1024]].concat())).unwrap();
    assert_eq!((found.unnamed, found.files.len()), (1, 0));
}

#[test]
fn the_content_of_great_files_is_not_kept() {
    let great = vec![b'x'; MAX_KEPT + 1];
    let found = unpack(&Tar::default().file("great", &great).file("small", b"x").gz()).unwrap();
    let great = &found.files["great"];
    assert_eq!((great.size, great.content.is_none()), (MAX_KEPT + 1, true));
    assert!(found.files["small"].content.is_some());
}

#[test]
fn a_bomb_is_cut_at_the_limit() {
    let mut bomb = Tar::default();
    for name in ["a", "b", "c"] {
        bomb = bomb.file(name, &[0; 4096]);
    }
    let bomb = bomb.gz();
    assert!(bomb.len() < 1000 && unpack(&bomb).is_ok());
    let too_much = Err(ArchiveError::TooMuch("10000 bytes".to_owned()));
    assert_eq!(unpack_within(&bomb, 10_000, 10), too_much);

    let mut header = tar::Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_size(u64::MAX / 4);
    header.set_cksum();
    let claims = unpack(&gz(&[header.as_bytes().as_slice(), &[0; 1024]].concat()));
    assert_eq!(
        claims,
        Err(ArchiveError::TooMuch(format!("{MAX_UNPACKED} bytes")))
    );
}

#[test]
fn too_many_entries_refuse_the_archive() {
    let mut tar = Tar::default();
    for _ in 0..3 {
        tar = tar.add(EntryType::Directory, "a/", b"");
    }
    let archive = tar.gz();
    assert!(unpack_within(&archive, MAX_UNPACKED, 3).is_ok());
    let too_much = Err(ArchiveError::TooMuch("2 entries".to_owned()));
    assert_eq!(unpack_within(&archive, MAX_UNPACKED, 2), too_much);
}

#[test]
fn rubbish_and_cut_archives_are_errors() {
    let whole = Tar::default().file("a.yaml", &[7; 4000]).gz();
    let half = &whole[..whole.len() / 2];
    for bytes in [&b""[..], b"not gzip", half, &gz(b"not a tar"), &gz(&[1; 2048])] {
        assert!(
            matches!(unpack(bytes), Err(ArchiveError::Broken(_))),
            "{} bytes",
            bytes.len()
        );
    }
}
