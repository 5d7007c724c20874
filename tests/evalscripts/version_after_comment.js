/* A title
 * in several lines. */
// By its author.

  // version = 3
function setup() {
  return { input: ["B04", "dataMask"], output: { bands: 2 } };
}
function evaluatePixel(sample) {
  return [sample.B04, sample.dataMask];
}
