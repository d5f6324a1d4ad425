/** What tensors are in a model, in the order of tables. */
export const ROLES = [
  'token embedding',
  'position embedding',
  'attention',
  'MLP',
  'norm',
  'head',
  'buffer',
  'other',
] as const;
/** What a tensor is in a model. */
export type Role = (typeof ROLES)[number];
