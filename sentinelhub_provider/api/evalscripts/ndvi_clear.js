//VERSION=3
// Normalized Difference Vegetation Index of pixels that no cloud and no cloud shadow covers; all others are no data.
// NDVI: Rouse, Haas, Schell, Deering: Monitoring vegetation systems in the Great Plains with ERTS, NASA SP-351, 1974.
// Classes of SCL: Sentinel-2 Level-2A Algorithm Theoretical Basis Document (ESA), scene classification:
// 0 no data, 1 saturated or defective, 3 cloud shadow, 8 and 9 cloud, 10 thin cirrus.
const COVERED = [0, 1, 3, 8, 9, 10];

function setup() {
  return {
    input: ["B04", "B08", "SCL", "dataMask"],
    output: [
      { id: "default", bands: 1, sampleType: "FLOAT32" },
      { id: "dataMask", bands: 1, sampleType: "UINT8" },
    ],
  };
}

function evaluatePixel(sample) {
  const sum = sample.B08 + sample.B04;
  const clear = sample.dataMask === 1 && sum !== 0 && !COVERED.includes(sample.SCL);
  return {
    default: [clear ? (sample.B08 - sample.B04) / sum : NaN],
    dataMask: [clear ? 1 : 0],
  };
}
