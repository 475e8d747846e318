//! Shares a whole number of units in proportion to weights, exactly, by largest remainder.

use crate::number::Overflow;
use ethnum::U256;

/// Shares `total` units in proportion to `weights`; the shares sum to `total` exactly (to zero when all weights are
/// zero). Every share is its exact quota rounded down, and the units left over go one each to the largest remainders,
/// the earlier place first among equals. No share is more than its weight when `total` is no more than their sum.
///
/// Source: Hamilton's method; arXiv 2512.01112 uses it for pro-rata ADL.
///
/// # Errors
/// [`Overflow`] when a product exceeds 256 bits, which figures within the limits of input never do.
pub fn apportion(total: u128, weights: &[u128]) -> Result<Vec<u128>, Overflow> {
    let mut sum = U256::ZERO;
    for weight in weights {
        sum = sum.checked_add(U256::from(*weight)).ok_or(Overflow)?;
    }
    if sum == U256::ZERO {
        return Ok(vec![0; weights.len()]);
    }
    let mut shares: Vec<u128> = Vec::with_capacity(weights.len());
    let mut remainders: Vec<(U256, usize)> = Vec::with_capacity(weights.len());
    let mut given: u128 = 0;
    for (place, weight) in weights.iter().enumerate() {
        let product = U256::from(total).checked_mul(U256::from(*weight)).ok_or(Overflow)?;
        let quota = product.checked_div(sum).ok_or(Overflow)?;
        let share = u128::try_from(quota).map_err(|_| Overflow)?;
        given = given.checked_add(share).ok_or(Overflow)?;
        shares.push(share);
        remainders.push((product.checked_rem(sum).ok_or(Overflow)?, place));
    }
    let left = usize::try_from(total.checked_sub(given).ok_or(Overflow)?).map_err(|_| Overflow)?;
    if left > 0 {
        remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, place) in remainders.iter().take(left) {
            if let Some(share) = shares.get_mut(*place) {
                *share = share.checked_add(1).ok_or(Overflow)?;
            }
        }
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_remainder_gets_the_unit_left_over() {
        assert_eq!(apportion(10, &[1, 1, 1]), Ok(vec![4, 3, 3]));
        assert_eq!(apportion(100, &[47, 16, 37]), Ok(vec![47, 16, 37]));
        assert_eq!(apportion(7, &[5, 3, 1]), Ok(vec![4, 2, 1]));
        assert_eq!(apportion(0, &[5, 3]), Ok(vec![0, 0]));
        assert_eq!(apportion(5, &[0, 0]), Ok(vec![0, 0]));
    }

    #[test]
    fn shares_sum_exactly_and_stay_within_their_weights() {
        for total in 0..=30 {
            let weights = [7, 0, 11, 1, 11];
            let shares = apportion(total, &weights).unwrap();
            assert_eq!(shares.iter().sum::<u128>(), total);
            assert!(shares.iter().zip(weights).all(|(share, weight)| *share <= weight), "{shares:?}");
        }
    }
}
