//VERSION=3
function setup() {
  return { input: ["VV", "localIncidenceAngle", "dataMask"], output: { bands: 2, sampleType: "FLOAT32" } };
}
function evaluatePixel(sample) {
  return [sample.localIncidenceAngle, sample.dataMask];
}
