//! Several aggregates of the same records, as one.

use crate::Aggregator;

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        /// Subtracts where all of its parts do.
        impl<T, $($name: Aggregator<T>),+> Aggregator<T> for ($($name,)+) {
            type Accumulator = ($($name::Accumulator,)+);
            type Output = ($($name::Output,)+);

            fn create(&self) -> Self::Accumulator {
                ($(self.$index.create(),)+)
            }

            #[inline]
            fn add(&self, accumulators: &mut Self::Accumulator, record: &T) {
                $(self.$index.add(&mut accumulators.$index, record);)+
            }

            #[inline]
            fn merge(&self, accumulators: &mut Self::Accumulator, other: &Self::Accumulator) {
                $(self.$index.merge(&mut accumulators.$index, &other.$index);)+
            }

            fn finish(&self, accumulators: &Self::Accumulator) -> Self::Output {
                ($(self.$index.finish(&accumulators.$index),)+)
            }

            fn subtract(
                &self,
                accumulators: &mut Self::Accumulator,
                other: &Self::Accumulator,
            ) -> bool {
                let mut done = 0;
                $(
                    if done == $index
                        && self.$index.subtract(&mut accumulators.$index, &other.$index)
                    {
                        done += 1;
                    }
                )+
                let all = [$($index),+].len();
                // One refused: those before it take back what they gave, so that nothing has
                // changed.
                $(
                    if done < all && $index < done {
                        self.$index.merge(&mut accumulators.$index, &other.$index);
                    }
                )+
                done == all
            }

            fn name(&self) -> String {
                [$(self.$index.name()),+].join(" + ")
            }
        }
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
