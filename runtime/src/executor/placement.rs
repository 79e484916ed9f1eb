//! Which of the machine's cores run the job.

use tailwater_core::{Error, Result};

use crate::config::{Cores, Driver, Idle, Local};

/// Where each core of the job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// How many cores the job has.
    pub cores: u32,
    /// The machine's core for each, or none where they share and the system places them.
    pub cpus: Option<Vec<usize>>,
    /// What went otherwise than asked.
    pub warnings: Vec<String>,
}

impl Placement {
    /// Places a job on this machine.
    ///
    /// # Errors
    /// When a core was named that this process may not use.
    pub fn plan(local: &Local) -> Result<Self> {
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        Self::on(local, &allowed.into_iter().map(|core| core.id).collect::<Vec<_>>())
    }

    fn on(local: &Local, allowed: &[usize]) -> Result<Self> {
        let seeded = matches!(local.driver, Driver::Seeded(_));
        let mut warnings = Vec::new();
        let (cores, cpus) = match &local.cores {
            Cores::All => (allowed.len().max(1), Some(allowed.to_vec())),
            Cores::Count(count) => {
                let count = *count as usize;
                (count, allowed.get(..count).map(<[usize]>::to_vec))
            }
            Cores::List(list) => {
                // Isolated cores are not in the inherited mask, so that a core is missing from it
                // does not mean that it cannot be used; pinning will tell. A core beyond the
                // machine's is refused.
                let highest = online_cores()
                    .unwrap_or_else(|| allowed.iter().max().map_or(1, |core| core + 1));
                if let Some(core) = list.iter().find(|core| **core >= highest) {
                    return Err(Error::configuration(format!(
                        "there is no core {core}: this machine has cores 0 to {}",
                        highest - 1
                    )));
                }
                let mut distinct = list.clone();
                distinct.sort_unstable();
                distinct.dedup();
                let doubled = distinct.len() < list.len();
                (list.len(), (!doubled).then(|| list.clone()))
            }
        };
        if cores == 0 {
            return Err(Error::configuration("a job needs at least one core"));
        }
        if cpus.is_none() && !seeded {
            let spinning = if local.idle == Idle::Spin {
                "; cores that spin will hold each other up, use the idle policy yield or park"
            } else {
                ""
            };
            warnings.push(format!(
                "{cores} executors share {} cores and are not pinned: expect pauses of milliseconds{spinning}",
                allowed.len()
            ));
        }
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        Ok(Self { cores, cpus: cpus.filter(|_| !seeded), warnings })
    }

    /// The machine's core for a core of the job.
    pub fn cpu(&self, core: u32) -> Option<usize> {
        self.cpus.as_ref().and_then(|cpus| cpus.get(core as usize).copied())
    }
}

/// One more than the highest core that is online, isolated ones included.
fn online_cores() -> Option<usize> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let last = online.trim().rsplit([',', '-']).next()?;
    last.parse::<usize>().ok().map(|core| core + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(cores: Cores, allowed: &[usize]) -> Result<Placement> {
        Placement::on(&Local { cores, ..Local::default() }, allowed)
    }

    #[test]
    fn cores_are_taken_in_order_and_sharing_is_said() {
        let all = plan(Cores::All, &[2, 3]).unwrap();
        assert_eq!((all.cores, all.cpus, all.warnings.len()), (2, Some(vec![2, 3]), 0));
        let one = plan(Cores::Count(1), &[2, 3]).unwrap();
        assert_eq!(one.cpu(0), Some(2));
        let four = plan(Cores::Count(4), &[2, 3]).unwrap();
        assert_eq!((four.cores, four.cpus, four.warnings.len()), (4, None, 1));
        let error = plan(Cores::List(vec![1_000_000]), &[0]).unwrap_err();
        assert!(error.to_string().contains("there is no core 1000000"), "{error}");
    }
}
