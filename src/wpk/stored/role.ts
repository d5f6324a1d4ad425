/** The role of stretches of a file that are coded like a tensor and are none. */
export const UNPARSED = 'unparsed bytes';
/** The role of weights beside the model's own. */
export const FURTHER = 'further weights';
