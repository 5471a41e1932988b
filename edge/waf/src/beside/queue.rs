//! Whose turn it is.
//!
//! Start-time fair queueing: each client has a time of its own, which advances by what its work has cost; of those who wait the one
//! whose time is least goes first, and who comes anew begins at the least time there is. So a client that brings much work waits
//! for itself, and the others wait for at most what is under way. Costs are known when work is done; until then a client has only so
//! much under way at once.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::TurnedAway;

/// Most clients without work here whose time is remembered, which is only while it is ahead of the others'.
const REMEMBERED_MAX: usize = 1024;

/// Who is told apart: an IPv4 address, or an IPv6 network of 64 bits, which one client has whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whose(u128);

impl Whose {
    /// The IPv6 network of 48 bits that it is in, of which one customer may have all; IPv4 has none.
    fn wider(self) -> Option<u128> {
        (self.0 as u64 == 0).then_some(self.0 >> 80)
    }
}

impl From<IpAddr> for Whose {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u128::from(u32::from(address)) | 0xffff << 32),
            IpAddr::V6(address) => Self(u128::from(address) >> 64 << 64),
        }
    }
}

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// What waits and what is under way, of all clients.
    pub(super) places_max: usize,
    /// Of it, of one client.
    pub(super) client_places_max: usize,
    /// Of it, of all clients of one wider IPv6 network. What is beyond `client_places_max` of them gives way to others.
    pub(super) wider_places_max: usize,
    /// Of one client, under way at once.
    pub(super) client_running_max: usize,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    whose: Whose,
    number: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    number: u64,
    /// It is its client's only one, its client has had no more than the others, and the wider network that its client is in has no
    /// more than one client may have.
    is_modest: bool,
    work: T,
}

#[derive(Debug)]
struct Line<T> {
    whose: Whose,
    /// The client's time: what it has had, in the costs of work.
    time: u64,
    waiting: VecDeque<Waiting<T>>,
    running: usize,
}

impl<T> Line<T> {
    fn places(&self) -> usize {
        self.waiting.len() + self.running
    }
}

/// What came of somebody's coming.
#[derive(Debug)]
pub(super) enum Entered<T> {
    /// It waits.
    Yes(Ticket),
    /// It waits, and another's work went for it.
    For(Ticket, T),
    /// It does not.
    No(TurnedAway, T),
}

/// The queue. It neither waits nor knows a clock.
#[derive(Debug)]
pub(super) struct Queue<T> {
    bounds: Bounds,
    lines: Vec<Line<T>>,
    /// The time at which the work that was begun last had its turn: nobody who waits is before it.
    now: u64,
    places: usize,
    numbers: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lines: Vec::new(),
            now: 0,
            places: 0,
            numbers: 0,
        }
    }

    /// What waits.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lines.iter().map(|line| line.waiting.len()).sum()
    }

    /// Takes up work, unless its client has its share here or there is no place.
    pub(super) fn enter(&mut self, whose: Whose, work: T) -> Entered<T> {
        let known = self.lines.iter().find(|line| line.whose == whose);
        let places = known.map_or(0, Line::places);
        let wider = self.places_of_wider(whose);
        let is_modest = places == 0
            && wider < self.bounds.client_places_max
            && known.is_none_or(|line| line.time <= self.now);
        if places >= self.bounds.client_places_max || wider >= self.bounds.wider_places_max {
            return Entered::No(TurnedAway::Share, work);
        }
        let mut displaced = None;
        if self.places >= self.bounds.places_max {
            displaced = self.displace(is_modest, places);
            if displaced.is_none() {
                let why = match is_modest {
                    true => TurnedAway::Full,
                    false => TurnedAway::Share,
                };
                return Entered::No(why, work);
            }
        }
        self.numbers += 1;
        let number = self.numbers;
        let now = self.now;
        let line = self.line(whose);
        line.time = line.time.max(now);
        line.waiting.push_back(Waiting {
            number,
            is_modest,
            work,
        });
        self.places += 1;
        let ticket = Ticket { whose, number };
        match displaced {
            None => Entered::Yes(ticket),
            Some(work) => Entered::For(ticket, work),
        }
    }

    /// Whether who comes would not be turned away for what is his own already.
    pub(super) fn has_share_left(&self, whose: Whose) -> bool {
        let known = self.lines.iter().find(|line| line.whose == whose);
        let places = known.map_or(0, Line::places);
        let is_within = places < self.bounds.client_places_max
            && self.places_of_wider(whose) < self.bounds.wider_places_max;
        // In a full queue only who has nothing there is certain of not being told so.
        is_within && (places == 0 || self.places < self.bounds.places_max)
    }

    /// What all have here that are in the wider network of this client.
    fn places_of_wider(&self, whose: Whose) -> usize {
        let Some(wider) = whose.wider() else {
            return 0;
        };
        let of_wider = self.lines.iter();
        let of_wider = of_wider.filter(|line| line.whose.wider() == Some(wider));
        of_wider.map(Line::places).sum()
    }

    /// The last of a client that takes more of the queue, or has had more of late, than who comes.
    fn displace(&mut self, is_modest: bool, places: usize) -> Option<T> {
        let gives_way = |line: &&mut Line<T>| {
            let is_greedy = line.waiting.back().is_some_and(|last| !last.is_modest);
            is_greedy && (is_modest || line.places() > places + 1)
        };
        let greedy = self.lines.iter_mut().filter(gives_way);
        let line = greedy.max_by_key(|line| (line.places(), line.time))?;
        let last = line.waiting.pop_back()?;
        self.places -= 1;
        Some(last.work)
    }

    /// What is to be done next, if anything may.
    pub(super) fn next(&mut self) -> Option<(Ticket, T)> {
        let running_max = self.bounds.client_running_max;
        let ready = self.lines.iter_mut().filter_map(|line| {
            let first = line.waiting.front()?;
            // Of those who have had as much, who brings little goes first.
            let place = (line.time, !first.is_modest, first.number);
            (line.running < running_max).then_some((place, line))
        });
        let ((time, ..), line) = ready.min_by_key(|(place, _)| *place)?;
        let first = line.waiting.pop_front()?;
        line.running += 1;
        let ticket = Ticket {
            whose: line.whose,
            number: first.number,
        };
        self.now = self.now.max(time);
        self.forget();
        Some((ticket, first.work))
    }

    /// What [`next`](Self::next) gave is done, at this cost.
    pub(super) fn done(&mut self, ticket: Ticket, cost: u64) {
        let line = self.line(ticket.whose);
        line.running = line.running.saturating_sub(1);
        line.time = line.time.saturating_add(cost.max(1));
        self.places = self.places.saturating_sub(1);
        self.forget();
    }

    /// Takes back what still waits, with the reason that there is if it has waited for too long: its client's, who has had others
    /// done meanwhile, or the queue's.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<(TurnedAway, T)> {
        let mut lines = self.lines.iter_mut();
        let line = lines.find(|line| line.whose == ticket.whose)?;
        let mut waiting = line.waiting.iter();
        let at = waiting.position(|waiting| waiting.number == ticket.number)?;
        let withdrawn = line.waiting.remove(at)?;
        self.places -= 1;
        self.forget();
        let why = match withdrawn.is_modest {
            true => TurnedAway::Late,
            false => TurnedAway::Share,
        };
        Some((why, withdrawn.work))
    }

    fn line(&mut self, whose: Whose) -> &mut Line<T> {
        let at = self.lines.iter().position(|line| line.whose == whose);
        let at = at.unwrap_or_else(|| {
            self.lines.push(Line {
                whose,
                time: self.now,
                waiting: VecDeque::new(),
                running: 0,
            });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }

    /// Forgets clients that have nothing here, if they are as good as new, or nobody is there before whom they were to wait.
    fn forget(&mut self) {
        if self.places == 0 {
            self.lines.clear();
            return;
        }
        let now = self.now;
        self.lines
            .retain(|line| line.places() > 0 || line.time > now);
        if self.lines.len() > REMEMBERED_MAX + self.places {
            let idle = self.lines.iter().enumerate();
            let idle = idle.filter(|(_, line)| line.places() == 0);
            if let Some((at, _)) = idle.min_by_key(|(_, line)| line.time) {
                self.lines.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        places_max: 6,
        client_places_max: 4,
        wider_places_max: 5,
        client_running_max: 1,
    };

    fn whose(text: &str) -> Whose {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn client(number: u8) -> Whose {
        whose(&format!("192.0.2.{number}"))
    }

    type Named = Queue<&'static str>;

    fn enters(queue: &mut Named, number: u8, name: &'static str) -> Ticket {
        match queue.enter(client(number), name) {
            Entered::Yes(ticket) => ticket,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Does all there is, each at its cost, in order.
    fn all(queue: &mut Named, cost_of: impl Fn(&str) -> u64) -> Vec<&'static str> {
        let mut done = Vec::new();
        while let Some((ticket, name)) = queue.next() {
            queue.done(ticket, cost_of(name));
            done.push(name);
        }
        done
    }

    #[test]
    fn clients_take_turns_however_much_each_brings() {
        let mut queue = Queue::new(BOUNDS);
        for name in ["a1", "a2", "a3"] {
            enters(&mut queue, 1, name);
        }
        enters(&mut queue, 2, "b1");
        enters(&mut queue, 3, "c1");
        assert_eq!(all(&mut queue, |_| 10), ["a1", "b1", "c1", "a2", "a3"]);
        assert_eq!(
            (queue.waiting(), queue.places, queue.lines.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn turns_are_by_cost_not_by_number() {
        let mut queue = Queue::new(BOUNDS);
        for name in ["a1", "a2"] {
            enters(&mut queue, 1, name);
        }
        for name in ["b1", "b2", "b3"] {
            enters(&mut queue, 2, name);
        }
        let cost = |name: &str| if name.starts_with('a') { 100 } else { 30 };
        assert_eq!(all(&mut queue, cost), ["a1", "b1", "b2", "b3", "a2"]);
    }

    #[test]
    fn who_comes_again_at_once_is_behind_who_comes_anew() {
        let mut queue = Queue::new(BOUNDS);
        enters(&mut queue, 1, "a1");
        enters(&mut queue, 2, "b1");
        let (first, _) = queue.next().unwrap();
        queue.done(first, 100);
        // One that has left nothing here all the while.
        enters(&mut queue, 1, "a2");
        enters(&mut queue, 3, "c1");
        assert_eq!(all(&mut queue, |_| 50), ["b1", "c1", "a2"]);
    }

    #[test]
    fn one_client_has_only_so_much_under_way() {
        let mut queue = Queue::new(BOUNDS);
        enters(&mut queue, 1, "a1");
        enters(&mut queue, 1, "a2");
        let (first, _) = queue.next().unwrap();
        assert!(queue.next().is_none());
        enters(&mut queue, 2, "b1");
        assert_eq!(queue.next().unwrap().1, "b1");
        queue.done(first, 1);
        assert_eq!(queue.next().unwrap().1, "a2");
    }

    #[test]
    fn one_client_has_only_its_share_of_places() {
        let mut queue = Queue::new(BOUNDS);
        for name in ["a1", "a2", "a3"] {
            enters(&mut queue, 1, name);
        }
        // What is under way takes a place as well.
        let (running, _) = queue.next().unwrap();
        enters(&mut queue, 1, "a4");
        let refused = queue.enter(client(1), "a5");
        assert!(
            matches!(refused, Entered::No(TurnedAway::Share, "a5")),
            "{refused:?}"
        );
        queue.done(running, 1);
        enters(&mut queue, 1, "a5");
    }

    #[test]
    fn a_full_queue_has_a_place_for_who_takes_less_of_it() {
        let mut queue = Queue::new(BOUNDS);
        for name in ["a1", "a2", "a3", "a4"] {
            enters(&mut queue, 1, name);
        }
        enters(&mut queue, 2, "b1");
        enters(&mut queue, 2, "b2");
        let Entered::For(_, gone) = queue.enter(client(3), "c1") else {
            panic!("a place");
        };
        assert_eq!(gone, "a4", "the last of who has most");
        let Entered::For(_, gone) = queue.enter(client(3), "c2") else {
            panic!("a place");
        };
        assert_eq!(gone, "a3", "two beside three");
        // All have two now.
        let refused = queue.enter(client(2), "b3");
        assert!(
            matches!(refused, Entered::No(TurnedAway::Share, "b3")),
            "{refused:?}"
        );
        assert_eq!(queue.waiting(), 6);
    }

    #[test]
    fn among_clients_that_have_one_each_who_has_had_more_gives_way() {
        let mut queue = Queue::new(BOUNDS);
        enters(&mut queue, 1, "a1");
        enters(&mut queue, 2, "b1");
        let (first, _) = queue.next().unwrap();
        queue.done(first, 100);
        enters(&mut queue, 1, "a2");
        for (number, name) in [(3, "c"), (4, "d"), (5, "e"), (6, "f")] {
            enters(&mut queue, number, name);
        }
        let Entered::For(_, gone) = queue.enter(client(7), "g") else {
            panic!("a place");
        };
        assert_eq!(gone, "a2");
        // Nobody is to blame any more.
        let refused = queue.enter(client(8), "h");
        assert!(
            matches!(refused, Entered::No(TurnedAway::Full, "h")),
            "{refused:?}"
        );
        // Who has had his turn is, when he comes again.
        let refused = queue.enter(client(1), "a3");
        assert!(
            matches!(refused, Entered::No(TurnedAway::Share, "a3")),
            "{refused:?}"
        );
    }

    #[test]
    fn waiting_too_long_is_the_fault_of_who_brought_more_than_one() {
        let mut queue = Queue::new(BOUNDS);
        enters(&mut queue, 1, "a1");
        let second = enters(&mut queue, 1, "a2");
        let other = enters(&mut queue, 2, "b1");
        let (running, _) = queue.next().unwrap();
        assert_eq!(queue.withdraw(second), Some((TurnedAway::Share, "a2")));
        assert_eq!(queue.withdraw(other), Some((TurnedAway::Late, "b1")));
        assert_eq!(queue.withdraw(other), None, "once");
        assert_eq!(queue.withdraw(running), None, "it does not wait");
        queue.done(running, 5);
        assert_eq!((queue.places, queue.lines.len()), (0, 0));
    }

    #[test]
    fn addresses_are_clients_and_networks_of_ipv6_are() {
        assert_eq!(whose("::ffff:192.0.2.1"), client(1));
        assert_ne!(client(1), client(2));
        assert_eq!(whose("2001:db8::1"), whose("2001:db8::ffff:1"));
        assert_ne!(whose("2001:db8::1"), whose("2001:db8:0:1::1"));
    }

    /// Each of its networks of 64 bits brings one piece, as a client does who brings little.
    #[test]
    fn who_owns_many_networks_is_not_many_clients() {
        let mut queue = Queue::new(Bounds {
            places_max: 8,
            client_places_max: 2,
            ..BOUNDS
        });
        let of_network = |number: u16| whose(&format!("2001:db8:1:{number:x}::1"));
        let mut tickets = Vec::new();
        for number in 0..5 {
            let Entered::Yes(ticket) = queue.enter(of_network(number), "a") else {
                panic!("a place for {number}");
            };
            tickets.push(ticket);
        }
        let refused = queue.enter(of_network(5), "a");
        assert!(
            matches!(refused, Entered::No(TurnedAway::Share, "a")),
            "{refused:?}"
        );
        // What waits too long is its own doing, but for what one client may have.
        let late = [0, 4].map(|at| queue.withdraw(tickets[at]).unwrap().0);
        assert_eq!(late, [TurnedAway::Late, TurnedAway::Share]);
        // Others go before the rest of it, and have its places when there are no more.
        for number in 1..=5 {
            enters(&mut queue, number, "b");
        }
        let beside = whose("2001:db8:2::1");
        for (other, name) in [(beside, "c"), (client(6), "d")] {
            let entered = queue.enter(other, name);
            assert!(matches!(entered, Entered::For(_, "a")), "{entered:?}");
        }
        let done = all(&mut queue, |_| 10);
        assert_eq!(done, ["a", "b", "b", "b", "b", "b", "c", "d"]);
    }

    #[test]
    fn what_is_remembered_of_clients_is_bounded() {
        let mut queue = Queue::new(BOUNDS);
        // As long as one waits behind all others, they are not forgotten.
        let (first, _) = {
            enters(&mut queue, 1, "a1");
            queue.next().unwrap()
        };
        for number in 0..3_000_u32 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            assert!(matches!(queue.enter(address.into(), "x"), Entered::Yes(_)));
            let (ticket, _) = queue.next().unwrap();
            queue.done(ticket, 1_000);
        }
        assert!(
            queue.lines.len() <= REMEMBERED_MAX + 2,
            "{}",
            queue.lines.len()
        );
        queue.done(first, 1);
        assert!(queue.lines.is_empty());
    }
}
