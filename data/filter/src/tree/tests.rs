use super::{Tree::*, *};

#[test]
fn joints_are_flat_and_constants_stand_alone() {
    let nothing: [Tree<u8>; 0] = [];
    assert_eq!(Tree::and(nothing.clone()), Constant(true));
    assert_eq!(Tree::or(nothing), Constant(false));
    assert_eq!(Tree::and([Leaf(1)]), Leaf(1));
    assert_eq!(Tree::and([Leaf(1), Constant(true)]), Leaf(1));
    assert_eq!(Tree::and([Leaf(1), Constant(false)]), Constant(false));
    assert_eq!(Tree::or([Leaf(1), Constant(true)]), Constant(true));
    assert_eq!(Tree::and([And(vec![Leaf(1), Leaf(2)]), Leaf(3)]), And(vec![Leaf(1), Leaf(2), Leaf(3)]));
    assert_eq!(Tree::or([Leaf(1), Or(vec![Leaf(2), Leaf(3)])]), Or(vec![Leaf(1), Leaf(2), Leaf(3)]));
    assert_eq!(Leaf(1).not().not(), Leaf(1));
    assert_eq!(Tree::<u8>::Constant(true).not(), Constant(false));
}

#[test]
fn leaves_come_from_left_to_right() {
    let tree = Tree::and([Leaf(1), Tree::or([Leaf(2), Leaf(3).not()]), Leaf(4)]);
    assert_eq!(tree.leaves(), [&1, &2, &3, &4]);
}

#[test]
fn evaluation_asks_only_leaves_that_matter() {
    let tree = Tree::and([Tree::or([Leaf(1), Leaf(2)]), Leaf(3).not(), Leaf(4)]);
    let mut asked = Vec::new();
    let says = tree.evaluate(&mut |leaf| {
        asked.push(*leaf);
        *leaf == 1 || *leaf == 3
    });
    assert!(!says);
    assert_eq!(asked, [1, 3]);
}
