//! What would else stand in several places word for word.

/// An enum, and the list of all its variants.
macro_rules! listed {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $($(#[$says:meta])* $variant:ident,)* }) => {
        $(#[$about])*
        $vis enum $name { $($(#[$says])* $variant,)* }

        impl $name {
            /// All of them.
            $vis const ALL: [$name; [$(stringify!($variant)),*].len()] = [$($name::$variant),*];
        }
    };
}

/// For an `Engine` around another one, in its field `inner`: what is asked without touching anything.
macro_rules! views_of_inner {
    () => {
        fn poll_timeout(&self) -> Option<sse_state::Time> {
            self.inner.poll_timeout()
        }

        fn now(&self) -> sse_state::Time {
            self.inner.now()
        }

        fn interest(&self, topic: &str) -> Option<sse_state::Interest> {
            self.inner.interest(topic)
        }

        fn is_live(&self, id: sse_state::SubscriberId) -> bool {
            self.inner.is_live(id)
        }

        fn asked(&self) -> u64 {
            self.inner.asked()
        }

        fn is_terminated(&self) -> bool {
            self.inner.is_terminated()
        }

        fn stats(&self) -> sse_state::Stats {
            self.inner.stats()
        }

        fn digest(&self) -> u64 {
            self.inner.digest()
        }

        fn check_invariants(&self) {
            self.inner.check_invariants();
        }
    };
}
