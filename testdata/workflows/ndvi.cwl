# A processing service of one tool: the vegetation index of one scene.
cwlVersion: v1.2
class: CommandLineTool
id: ndvi
label: Vegetation index (NDVI) of a Sentinel-2 scene
doc: Computes (NIR - red) / (NIR + red) and writes it as numbers from -1 to 1.
requirements:
  ResourceRequirement: {coresMin: 1, ramMin: 512}
  ToolTimeLimit: {timelimit: 300}
hints:
  SoftwareRequirement: {packages: {gdal: {version: ["3"]}}}
baseCommand: [gdal_calc.py, --quiet, --type=Float32, --NoDataValue=-9999, --co=COMPRESS=DEFLATE]
arguments:
  - --calc=(A.astype(numpy.float32)-B)/(A.astype(numpy.float32)+B)
  - --outfile=ndvi.tif
inputs:
  nir:
    type: File
    label: Band 8
    inputBinding: {prefix: -A}
  red:
    type: File
    label: Band 4
    inputBinding: {prefix: -B}
outputs:
  index:
    type: File
    label: The index (GeoTIFF)
    outputBinding: {glob: ndvi.tif}
