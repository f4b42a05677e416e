//! BTF: any bytes are refused or answered from, in bounded time, and no answer is one that the kernel side could not use.

use monitor::kernel::btf::Btf;
use monitor::kernel::layout::{LayoutError, layout_bytes, resolve};
use monitor_common::layout::{FIELD_COUNT, FIELD_PATHS, Field, Need};

const ENUMERATIONS: [&str; 3] = ["skb_drop_reason", "sk_rst_reason", "sock_flags"];
const TRACEPOINTS: [&str; 3] = ["inet_sock_set_state", "tcp_send_reset", "tcp_receive_reset"];
const FUNCTIONS: [&str; 3] = ["tcp_reset", "tcp_v4_send_reset", "tcp_conn_request"];
/// The longest name that the reader takes, and most values of an enumeration.
const LONGEST: usize = 512;
const MOST_VALUES: usize = 4096;

/// The target.
pub fn check(input: &[u8]) {
    let Ok(btf) = Btf::parse(input) else { return };
    fields(&btf);
    for enumeration in ENUMERATIONS {
        values(&btf, enumeration);
    }
    // A type of 8 bytes at least for each; the count comes from a 24-bit field that must fit into the file.
    for tracepoint in TRACEPOINTS {
        assert!(btf.tracepoint_arguments(tracepoint).is_none_or(|count| count * 8 < input.len()));
    }
    for function in FUNCTIONS {
        assert!(btf.function_parameters(function).is_none_or(|count| count * 8 < input.len()));
    }
}

/// Each field is loadable, and the layout has what its fields say one by one.
fn fields(btf: &Btf<'_>) {
    let mut found = [Field::default(); FIELD_COUNT];
    for (place, path) in found.iter_mut().zip(FIELD_PATHS) {
        if let Ok(Some(field)) = btf.field(path.outer, path.path) {
            loadable(field);
            *place = field;
        }
    }
    match resolve(btf) {
        Ok(resolved) => {
            assert_eq!(resolved.layout.fields(), found, "the layout has the fields in their order");
            assert!(resolved.missing.iter().all(|missing| missing.field.need == Need::Optional));
            let bytes: Vec<u8> = found.into_iter().flat_map(Field::to_bytes).collect();
            assert_eq!(layout_bytes(&resolved.layout), bytes);
        }
        Err(error) => {
            assert!(!matches!(&error, LayoutError::Missing(none) if none.is_empty()), "{error:?}");
            assert!(!error.to_string().contains('\n'), "{error:?}");
        }
    }
}

fn loadable(field: Field) {
    let Field { offset: _, size, shift, bits, reserved } = field;
    assert!(field.is_present() && reserved == 0, "{field:?}");
    if bits == 0 {
        assert_eq!(shift, 0, "only bitfields are shifted: {field:?}");
    } else {
        assert!(matches!(size, 1 | 2 | 4 | 8), "a bitfield is loaded at once: {field:?}");
        assert!(u16::from(shift) + u16::from(bits) <= size * 8, "and lies within: {field:?}");
    }
}

fn values(btf: &Btf<'_>, enumeration: &str) {
    let Some(values) = btf.enum_values(enumeration) else { return };
    assert!(values.len() <= MOST_VALUES, "{} values", values.len());
    for (name, value) in &values {
        // Each byte of a name that is no UTF-8 becomes a character of three.
        assert!(name.len() < 3 * LONGEST, "{name}");
        let first = values.iter().find(|(other, _)| other == name).unwrap();
        if first.1 == *value && !name.contains(char::REPLACEMENT_CHARACTER) {
            assert_eq!(btf.enum_value(enumeration, name), Some(*value), "{name}");
        }
    }
}
