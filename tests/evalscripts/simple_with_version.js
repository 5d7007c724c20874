//VERSION=3
let ndvi = (B08 - B04) / (B08 + B04);
if (ndvi > 0.5) {
  return [0, ndvi, 0];
}
return [ndvi, ndvi, ndvi];
