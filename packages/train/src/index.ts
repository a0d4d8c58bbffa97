/**
 * Trains Matryoshka sparse autoencoders.
 *
 * @packageDocumentation
 */
export {};
