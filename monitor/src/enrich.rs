//! Event plus what follows from it and from the host: the running kernel's names for its reasons, and the idle time. Pure,
//! cannot fail.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::Event;
use crate::idle::idle;

/// What enrichment looks things up in. An immutable index, made at start.
#[derive(Debug, Default)]
pub struct Enricher {
    reasons: HashMap<u32, Arc<str>>,
}

impl Enricher {
    /// With the values and names of the running kernel's `enum sk_rst_reason`.
    pub fn new(reasons: &[(u32, String)]) -> Self {
        Self { reasons: reasons.iter().map(|(value, name)| (*value, Arc::from(name.as_str()))).collect() }
    }

    /// Completes an event.
    #[must_use]
    pub fn enrich(&self, mut event: Event) -> Event {
        if let Some(reason) = &mut event.reason {
            reason.name = self.reasons.get(&reason.code).map(Arc::clone);
        }
        event.idle = idle(&event);
        event
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::counters::Kind;

    use super::*;
    use crate::event::{Event, Reason};

    #[test]
    fn a_reason_gets_the_running_kernels_name_and_an_unknown_one_keeps_its_number() {
        let enricher = Enricher::new(&[(14, "TCP_STATE".into())]);
        for (code, name) in [(14, Some("TCP_STATE")), (99, None)] {
            let event =
                Event { reason: Some(Reason { code, name: None }), ..Event::of_kind(Kind::ResetSent) };
            let reason = enricher.enrich(event).reason.unwrap();
            assert_eq!((reason.code, reason.name.as_deref()), (code, name));
        }
    }
}
