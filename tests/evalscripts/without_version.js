// The line VERSION=3 is forgotten: setup() and evaluatePixel() are enough.
function setup() {
  return { input: ["B04", "B08", "dataMask"], output: { bands: 1, sampleType: "FLOAT32" } };
}
function evaluatePixel(sample) {
  return [index(sample.B08, sample.B04)];
}
