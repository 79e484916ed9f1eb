//! Which core a key belongs to: hash, then key group, then the core that owns it.

use tailwater_core::KeyGroups;

/// The owners of all key groups, looked up instead of computed.
#[derive(Clone, Debug)]
pub struct Route {
    groups: KeyGroups,
    owners: Box<[u16]>,
    cores: u32,
}

impl Route {
    /// Contiguous ranges of key groups on `cores` cores.
    pub fn new(groups: KeyGroups, cores: u32) -> Self {
        let owners = (0..groups.count()).map(|group| groups.owner(group, cores) as u16).collect();
        Self { groups, owners, cores }
    }

    /// Whether there is only one core, so that nobody needs to look at keys.
    #[inline]
    pub fn is_single(&self) -> bool {
        self.cores == 1
    }

    /// The core that owns a key with this hash.
    #[inline]
    pub fn core_of_hash(&self, hash: u64) -> usize {
        self.owners[self.groups.of_hash(hash) as usize].into()
    }

    /// Turns the [hash codes](tailwater_core::hash_code) of keys into the cores that own them.
    #[inline]
    pub fn cores_of_codes(&self, codes: &mut [u32]) {
        self.groups.of_codes(codes);
        codes.iter_mut().for_each(|code| *code = self.owners[*code as usize].into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_ranges() {
        let groups = KeyGroups::new(12).unwrap_or_else(|error| panic!("{error}"));
        let route = Route::new(groups, 5);
        let mut cores: Vec<_> = (0..1000).map(tailwater_core::hash_code).collect();
        route.cores_of_codes(&mut cores);
        for (hash, core) in (0..1000u64).zip(cores) {
            assert_eq!(route.core_of_hash(hash), core as usize);
            assert!(groups.range(core, 5).contains(&groups.of_hash(hash)));
        }
    }
}
