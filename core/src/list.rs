//! Doubly linked lists whose links live in the members, so that joining, leaving and serving are
//! O(1), exact, and allocate nothing.

/// The place of one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    pub(crate) const NONE: Link = Link {
        prev: NIL,
        next: NIL,
    };
}

/// Where the links of a list's members are.
pub(crate) trait Links {
    fn link(&mut self, member: u32) -> &mut Link;
}

/// First and last member. Who is in which list is known to the members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
}

impl List {
    pub(crate) const EMPTY: List = List {
        head: NIL,
        tail: NIL,
    };

    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NIL
    }

    /// Appends a member that is in no list.
    #[inline]
    pub(crate) fn push_back(&mut self, links: &mut impl Links, member: u32) {
        *links.link(member) = Link {
            prev: self.tail,
            next: NIL,
        };
        match self.tail {
            NIL => self.head = member,
            tail => links.link(tail).next = member,
        }
        self.tail = member;
    }

    /// Removes a member of this list.
    #[inline]
    pub(crate) fn remove(&mut self, links: &mut impl Links, member: u32) {
        let Link { prev, next } = *links.link(member);
        match prev {
            NIL => self.head = next,
            prev => links.link(prev).next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => links.link(next).prev = prev,
        }
    }

    /// The members from first to last, where `link_of` tells the place of each.
    pub(crate) fn iter(self, link_of: impl Fn(u32) -> Link) -> impl Iterator<Item = u32> {
        core::iter::successors(self.first(), move |&member| {
            let next = link_of(member).next;
            (next != NIL).then_some(next)
        })
    }
}

/// No member.
pub(crate) const NIL: u32 = u32::MAX;
