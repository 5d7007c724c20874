//VERSION=3
// NDVI in colours, from bare soil to dense vegetation. What has no NDVI worth showing stays neutral.

const VEGETATION = new ColorRampVisualizer([
  [-0.1, 0xc9b79c],
  [0.1, 0xe3d3ab],
  [0.25, 0xf4e595],
  [0.4, 0xbfd562],
  [0.55, 0x7db646],
  [0.7, 0x3f9142],
  [0.85, 0x14673a],
  [1.0, 0x053d2a],
]);

// Classes of the scene classification (SCL) that are neither soil nor vegetation.
const NEUTRAL = {
  3: [0.62, 0.62, 0.64], // shadow of a cloud
  6: [0.66, 0.77, 0.85], // water
  8: [0.90, 0.90, 0.91], // cloud, medium probability
  9: [0.90, 0.90, 0.91], // cloud, high probability
  10: [0.90, 0.90, 0.91], // thin cirrus
  11: [0.98, 0.98, 1.0], // snow and ice
};

function setup() {
  return {
    input: ["B04", "B08", "SCL", "dataMask"],
    output: { bands: 4 },
  };
}

function evaluatePixel(sample) {
  const [red, green, blue] = NEUTRAL[sample.SCL] || VEGETATION.process(index(sample.B08, sample.B04));
  return [red, green, blue, sample.dataMask];
}
