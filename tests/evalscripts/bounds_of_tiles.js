//VERSION=3
function setup() {
  return {
    input: [{ bands: ["B04", "dataMask"], metadata: ["bounds"] }],
    output: { bands: 3, sampleType: "FLOAT32" },
    mosaicking: "TILE",
  };
}
function evaluatePixel(samples, scenes) {
  const { dataEnvelope, dataGeometry, productId } = scenes.tiles[0];
  return [dataEnvelope.coordinates[0].length, dataGeometry.coordinates[0].length, productId.length];
}
