import type { TreeNode } from './featureTree.ts';

const child = (): TreeNode => ({ active_prob: 0.2 });

/** Fires .15 of the time, with one of three children 3 times in 5. */
const parent = (): TreeNode => ({
  active_prob: 0.15,
  mutually_exclusive_children: true,
  children: [child(), child(), child(), { active_prob: 0.4, is_read_out: false }],
});

const independent = (): TreeNode => ({ active_prob: 0.05 });

/**
 * The write-up's tree: 20 features. Parents are 0, 4 and 8 with children 1–3, 5–7, 9–11; 12–19 are independent.
 * Mean L0 is 3 · .15 · 1.6 + 8 · .05 = 1.12.
 */
export const defaultTree: TreeNode = {
  active_prob: 1,
  is_read_out: false,
  children: [parent(), parent(), parent(), ...Array.from({ length: 8 }, independent)],
};
