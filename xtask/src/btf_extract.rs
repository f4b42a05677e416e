//! `cargo xtask btf-extract`: cuts a kernel's BTF (5 MB) down to what the tests look at (10 KB).
//!
//! What is kept keeps its offsets and sizes: the members on the way to each path of the table, the types they are
//! made of, and some enumerations, functions and tracepoints. What is dropped leaves no trace but a struct with fewer
//! members. Pointers lead nowhere. The input is a kernel's, hence trusted; odd input is an error all the same.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

/// Enumerations kept with all their values.
const ENUMERATIONS: &[&str] = &["skb_drop_reason", "sk_rst_reason", "sock_flags"];

/// Functions kept with their parameters, where the kernel has them.
const FUNCTIONS: &[&str] = &[
    "early_drop",
    "nf_send_reset",
    "nf_send_reset6",
    "tcp_check_req",
    "tcp_conn_request",
    "tcp_finish_connect",
    "tcp_reset",
    "tcp_send_active_reset",
    "tcp_timewait_state_process",
    "tcp_v4_send_reset",
    "tcp_v4_syn_recv_sock",
    "tcp_v6_send_reset",
    "tcp_v6_syn_recv_sock",
    "tcp_validate_incoming",
];

/// Tracepoints kept with their arguments.
const TRACEPOINTS: &[&str] =
    &["inet_sock_set_state", "kfree_skb", "tcp_receive_reset", "tcp_retransmit_skb", "tcp_send_reset"];

const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// What to cut from what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// BTF of a kernel: /sys/kernel/btf/vmlinux, or the .BTF section of a vmlinux
    vmlinux_btf: PathBuf,
    /// Where to write the extract
    out: PathBuf,
    /// Table whose first column names the members to keep, each after its struct, with dots
    #[arg(long, default_value = "monitor/tests/fixtures/btf/expected.txt")]
    paths: PathBuf,
}

/// Reads, cuts, writes.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Args { vmlinux_btf, out, paths } = args;
    let bytes = fs::read(vmlinux_btf).with_context(|| format!("read {}", vmlinux_btf.display()))?;
    let source = Source::parse(&bytes).with_context(|| format!("parse {}", vmlinux_btf.display()))?;
    let table = fs::read_to_string(paths).with_context(|| format!("read {}", paths.display()))?;
    let paths = table.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let extract = Extract::new(&source, paths)?.write()?;
    fs::write(out, extract).with_context(|| format!("write {}", out.display()))
}

/// One type; everything after its first twelve bytes is a row of 32-bit words, whatever the kind.
struct Type {
    name: String,
    info: u32,
    target: u32,
    words: Vec<u32>,
}

impl Type {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x7f
    }

    fn is_transparent(&self) -> bool {
        matches!(self.kind(), TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG)
    }
}

/// The members passed on the way to another: a struct's number and an index in it, outermost first.
type Steps = Vec<(u32, usize)>;

/// A kernel's BTF in memory; type 0 is `void`.
struct Source {
    types: Vec<Type>,
    strings: Vec<u8>,
}

impl Source {
    fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.starts_with(&[0x9f, 0xeb, 1]), "not little-endian BTF");
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
        let header = |index: usize| -> Result<usize> {
            Ok(usize::try_from(*words.get(index).context("the header ends early")?)?)
        };
        let body = header(1)?;
        let strings = body + header(4)?;
        let strings = bytes.get(strings..strings + header(5)?).context("the strings end early")?.to_vec();
        let (start, length) = ((body + header(2)?) / 4, header(3)? / 4);
        let mut rest = words.get(start..start + length).context("the types end early")?;
        let void = Type { name: String::new(), info: 0, target: 0, words: Vec::new() };
        let mut source = Self { types: vec![void], strings };
        while let [name, info, target, tail @ ..] = rest {
            let count = usize::try_from(info & 0x00ff_ffff)?;
            let length = match info >> 24 & 0x7f {
                1 | 14 | 17 => 1,
                ARRAY => 3,
                STRUCT | UNION | 15 | ENUM64 => 3 * count,
                ENUM | FUNC_PROTO => 2 * count,
                PTR | 7..=FUNC | 16 | TYPE_TAG => 0,
                kind => bail!("type {}: unknown kind {kind}", source.types.len()),
            };
            let (words, next) = tail.split_at_checked(length).context("the last type ends early")?;
            let name = source.name_at(*name)?;
            source.types.push(Type { name, info: *info, target: *target, words: words.to_vec() });
            rest = next;
        }
        Ok(source)
    }

    fn name_at(&self, offset: u32) -> Result<String> {
        let rest = self.strings.get(usize::try_from(offset)?..).context("a name lies outside the strings")?;
        let name = rest.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8(name.to_vec())?)
    }

    fn get(&self, id: u32) -> Result<&Type> {
        self.types.get(usize::try_from(id)?).with_context(|| format!("no type {id}"))
    }

    fn find(&self, kinds: &[u32], name: &str) -> Option<u32> {
        let index = self.types.iter().position(|found| kinds.contains(&found.kind()) && found.name == name);
        u32::try_from(index?).ok()
    }

    /// How to get from a struct to the member called `name`, through nameless ones, and the member's type.
    fn member(&self, outer: u32, name: &str) -> Result<Option<(Steps, u32)>> {
        let mut id = outer;
        while self.get(id)?.is_transparent() {
            id = self.get(id)?.target;
        }
        let outer = self.get(id)?;
        if !matches!(outer.kind(), STRUCT | UNION) {
            return Ok(None);
        }
        for (index, &[member, target, _]) in outer.words.as_chunks().0.iter().enumerate() {
            let member = self.name_at(member)?;
            if member == name {
                return Ok(Some((vec![(id, index)], target)));
            }
            if member.is_empty()
                && let Some((mut steps, target)) = self.member(target, name)?
            {
                steps.insert(0, (id, index));
                return Ok(Some((steps, target)));
            }
        }
        Ok(None)
    }
}

/// The new BTF as it grows. A type is written after those it is made of, so numbers only refer back.
struct Extract<'a> {
    source: &'a Source,
    /// Which members of which structs stay.
    kept: BTreeSet<(u32, usize)>,
    /// New numbers by old.
    copied: HashMap<u32, u32>,
    types: Vec<u32>,
    count: u32,
    strings: Vec<u8>,
    names: HashMap<String, u32>,
}

impl<'a> Extract<'a> {
    fn new(source: &'a Source, paths: impl Iterator<Item = impl AsRef<str>>) -> Result<Self> {
        let mut extract = Self {
            source,
            kept: BTreeSet::new(),
            copied: HashMap::from([(0, 0)]),
            types: Vec::new(),
            count: 0,
            strings: vec![0],
            names: HashMap::from([(String::new(), 0)]),
        };
        let mut roots = Vec::new();
        for path in paths {
            let mut links = path.as_ref().split('.');
            let Some(mut id) = links.next().and_then(|outer| source.find(&[STRUCT], outer)) else { continue };
            roots.push(id);
            // A chain that ends early keeps what there is of it: the tests also check what is absent.
            for link in links {
                let Some((steps, target)) = source.member(id, link)? else { break };
                extract.kept.extend(steps);
                id = target;
            }
        }
        let tracepoints = TRACEPOINTS.iter().map(|name| format!("btf_trace_{name}"));
        roots.extend(ENUMERATIONS.iter().filter_map(|name| source.find(&[ENUM, ENUM64], name)));
        roots.extend(FUNCTIONS.iter().filter_map(|name| source.find(&[FUNC], name)));
        roots.extend(tracepoints.filter_map(|name| source.find(&[TYPEDEF], &name)));
        for root in roots {
            extract.copy(root)?;
        }
        Ok(extract)
    }

    /// The bytes of the new BTF.
    fn write(self) -> Result<Vec<u8>> {
        let (types, strings) = (u32::try_from(self.types.len() * 4)?, u32::try_from(self.strings.len())?);
        // Magic, version and flags; header's length; offset and length of the types and of the strings.
        let header = [0x0001_eb9f, 24, 0, types, types, strings];
        let words = header.into_iter().chain(self.types);
        Ok(words.flat_map(u32::to_le_bytes).chain(self.strings).collect())
    }

    /// Copies a type with what it is made of. Gives its new number.
    fn copy(&mut self, id: u32) -> Result<u32> {
        if let Some(&copied) = self.copied.get(&id) {
            return Ok(copied);
        }
        let source = self.source;
        let found = source.get(id)?;
        let (mut info, mut target) = (found.info, found.target);
        let mut words = Vec::new();
        match found.kind() {
            STRUCT | UNION => {
                for (index, &[name, inner, offset]) in found.words.as_chunks().0.iter().enumerate() {
                    if self.kept.contains(&(id, index)) {
                        words.extend([self.name(&source.name_at(name)?)?, self.copy(inner)?, offset]);
                    }
                }
                info = info & 0xff00_0000 | u32::try_from(words.len() / 3)?;
            }
            ENUM => {
                for &[name, value] in found.words.as_chunks().0 {
                    words.extend([self.name(&source.name_at(name)?)?, value]);
                }
            }
            ENUM64 => {
                for &[name, low, high] in found.words.as_chunks().0 {
                    words.extend([self.name(&source.name_at(name)?)?, low, high]);
                }
            }
            FUNC_PROTO => {
                target = self.copy(target)?;
                for &[name, parameter] in found.words.as_chunks().0 {
                    words.extend([self.name(&source.name_at(name)?)?, self.copy(parameter)?]);
                }
            }
            ARRAY => {
                let &[element, index, length] = &found.words[..] else { bail!("type {id}: an odd array") };
                words.extend([self.copy(element)?, self.copy(index)?, length]);
            }
            // A tracepoint's arguments lie behind a pointer; any other pointer would drag half the kernel along.
            PTR if source.get(target)?.kind() != FUNC_PROTO => target = 0,
            PTR | FUNC => target = self.copy(target)?,
            _ if found.is_transparent() => target = self.copy(target)?,
            _ => words.clone_from(&found.words),
        }
        let name = self.name(&found.name)?;
        self.types.extend([name, info, target]);
        self.types.extend(words);
        self.count += 1;
        self.copied.insert(id, self.count);
        Ok(self.count)
    }

    /// Where the new strings have a name.
    fn name(&mut self, name: &str) -> Result<u32> {
        if let Some(&offset) = self.names.get(name) {
            return Ok(offset);
        }
        let offset = u32::try_from(self.strings.len())?;
        self.strings.extend(name.bytes().chain([0]));
        self.names.insert(name.to_owned(), offset);
        Ok(offset)
    }
}
