//! Dealing the records of a batch out to the cores that they go to.
//!
//! Into memory of the core's own, from where each part goes into its ring as one piece: written
//! into the rings one by one, records would wait for each of the rings' lines to come over from the
//! core that read it last.
#![allow(unsafe_code)] // A record is moved from memory to memory, without a stop on the stack.

/// Moves each record of `batch` to the end of the part that `cores` says, in order.
///
/// # Panics
/// When there are not as many cores as records, or a core has no part. No record is then dropped.
#[inline]
pub fn scatter<T>(batch: &mut Vec<T>, cores: &[u32], parts: &mut [Vec<T>]) {
    let count = batch.len();
    assert_eq!(cores.len(), count, "each record has a core");
    parts.iter_mut().for_each(|part| part.reserve(count));
    let records = batch.as_ptr();
    // SAFETY: zero is no more than the capacity. From here on the records are nobody's until they
    // are moved: a panic leaks those that were not.
    unsafe { batch.set_len(0) };
    for (index, core) in cores.iter().enumerate() {
        let part = &mut parts[*core as usize];
        let len = part.len();
        // SAFETY: the index is below the number of records that the batch held.
        let record = unsafe { records.add(index) };
        // SAFETY: room for all records was reserved, and at most so many were moved here before.
        let place = unsafe { part.as_mut_ptr().add(len) };
        // SAFETY: both are as argued; they lie in two vectors. The record was initialised, and is
        // read only here.
        unsafe { place.copy_from_nonoverlapping(record, 1) };
        // SAFETY: within the capacity, and the record at `len` was just moved there.
        unsafe { part.set_len(len + 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_gets_its_records_in_order() {
        let mut parts = vec![vec!["0".to_owned()], Vec::new(), Vec::new()];
        let mut batch: Vec<_> = (1..6).map(|number: u32| number.to_string()).collect();
        scatter(&mut batch, &[2, 0, 2, 2, 0], &mut parts);
        assert!(batch.is_empty());
        let parts: Vec<_> = parts.iter().map(|part| part.join("")).collect();
        assert_eq!(parts, ["025", "", "134"]);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn a_core_without_a_part_is_an_error() {
        scatter(&mut vec![1, 2], &[0, 1], &mut [Vec::new()]);
    }
}
