/** Role of a range of bytes that is coded like a tensor. */
export const UNPARSED = 'unparsed bytes';
/** Role of weights outside of the model. */
export const FURTHER = 'further weights';
