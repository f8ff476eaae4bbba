//! The mark is found wherever the pieces are cut.

use super::*;

#[test]
fn a_mark_can_lie_across_two_pieces() {
    for cut in 0..=MARK.len() {
        let mut end = Vec::new();
        let first = finds(&mut end, &[b"{{{", &MARK[..cut]].concat());
        assert_eq!(first, cut == MARK.len());
        assert_eq!(finds(&mut end, &[&MARK[cut..], b"}"].concat()), cut < MARK.len());
    }
}
