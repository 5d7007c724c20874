//VERSION=3
// 1 where ground, water or snow is seen, 0 under cloud and cloud shadow and where there are no data.
// Its mean over a field is the share of the field that is clear.
// Classes of SCL: Sentinel-2 Level-2A Algorithm Theoretical Basis Document (ESA), scene classification:
// 0 no data, 1 saturated or defective, 3 cloud shadow, 8 and 9 cloud, 10 thin cirrus.
const COVERED = [0, 1, 3, 8, 9, 10];

function setup() {
  return {
    input: ["SCL", "dataMask"],
    output: [
      { id: "default", bands: 1, sampleType: "UINT8" },
      { id: "dataMask", bands: 1, sampleType: "UINT8" },
    ],
  };
}

function evaluatePixel(sample) {
  const clear = sample.dataMask === 1 && !COVERED.includes(sample.SCL);
  return { default: [clear ? 1 : 0], dataMask: [sample.dataMask] };
}
