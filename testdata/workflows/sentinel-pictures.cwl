# From the bands of any number of Sentinel-2 scenes to two pictures of the mosaic: one in true colour,
# one of the vegetation index NDVI. Needs GDAL's command line programs and nothing else: no JavaScript,
# no shell, no network. The document names no other file, so that it can be offered as it is.
cwlVersion: v1.2
$graph:

- class: Workflow
  id: main
  label: True-colour and NDVI pictures of Sentinel-2 scenes
  doc: >-
    Joins the scenes band by band and makes a true-colour picture and a picture of the vegetation
    index. The four arrays hold the same scenes in the same order.
  inputs:
    red:
      type: File[]
      label: Band 4 of each scene, reflectance times 10,000
    green:
      type: File[]
      label: Band 3 of each scene
    blue:
      type: File[]
      label: Band 2 of each scene
    nir:
      type: File[]
      label: Band 8 of each scene
    brightest:
      type: int
      default: 2600
      label: The value that becomes white in the true-colour picture
  outputs:
    true_colour:
      type: File
      label: True-colour picture (PNG)
      outputSource: picture/png
    ndvi_picture:
      type: File
      label: Vegetation index, brown to green (PNG)
      outputSource: colour_ndvi/png
    ndvi:
      type: File
      label: Vegetation index as numbers from -1 to 1 (GeoTIFF)
      outputSource: compute_ndvi/index
  steps:
    mosaic_red:
      run: "#mosaic"
      in: {scenes: red, name: {default: red.tif}}
      out: [whole]
    mosaic_green:
      run: "#mosaic"
      in: {scenes: green, name: {default: green.tif}}
      out: [whole]
    mosaic_blue:
      run: "#mosaic"
      in: {scenes: blue, name: {default: blue.tif}}
      out: [whole]
    mosaic_nir:
      run: "#mosaic"
      in: {scenes: nir, name: {default: nir.tif}}
      out: [whole]
    stack:
      run: "#stack"
      in:
        red: mosaic_red/whole
        green: mosaic_green/whole
        blue: mosaic_blue/whole
      out: [bands]
    picture:
      run: "#picture"
      in: {bands: stack/bands, brightest: brightest}
      out: [png]
    compute_ndvi:
      run: "#compute_ndvi"
      in: {nir: mosaic_nir/whole, red: mosaic_red/whole}
      out: [index]
    colour_ndvi:
      run: "#colour_ndvi"
      in: {index: compute_ndvi/index}
      out: [png]

- class: CommandLineTool
  id: mosaic
  label: Joins the scenes of one band
  requirements:
    ResourceRequirement: {coresMin: 1, ramMin: 256}
    ToolTimeLimit: {timelimit: 300}
  hints:
    SoftwareRequirement: {packages: {gdal: {version: ["3"]}}}
  baseCommand: [gdalwarp, -q, -of, GTiff, -co, COMPRESS=DEFLATE, -co, PREDICTOR=2]
  inputs:
    scenes:
      type: File[]
      inputBinding: {position: 1}
    name:
      type: string
      inputBinding: {position: 2}
  outputs:
    whole:
      type: File
      outputBinding: {glob: $(inputs.name)}

- class: CommandLineTool
  id: stack
  label: Lays three bands over each other
  requirements:
    ResourceRequirement: {coresMin: 1, ramMin: 256}
    ToolTimeLimit: {timelimit: 300}
  hints:
    SoftwareRequirement: {packages: {gdal: {version: ["3"]}}}
  baseCommand: [gdal_merge.py, -q, -separate, -n, "0", -a_nodata, "0", -o, bands.tif]
  inputs:
    red: {type: File, inputBinding: {position: 1}}
    green: {type: File, inputBinding: {position: 2}}
    blue: {type: File, inputBinding: {position: 3}}
  outputs:
    bands: {type: File, outputBinding: {glob: bands.tif}}

- class: CommandLineTool
  id: picture
  label: Makes a picture of three bands
  requirements:
    ResourceRequirement: {coresMin: 1, ramMin: 256}
    ToolTimeLimit: {timelimit: 300}
    EnvVarRequirement: {envDef: {GDAL_PAM_ENABLED: "NO"}}
  hints:
    SoftwareRequirement: {packages: {gdal: {version: ["3"]}}}
  baseCommand: [gdal_translate, -q, -of, PNG, -ot, Byte, -a_nodata, none]
  arguments:
    - {prefix: -scale, position: 1, valueFrom: "0"}
    - {position: 3, valueFrom: "0"}
    - {position: 4, valueFrom: "255"}
    - {position: 6, valueFrom: true-colour.png}
  inputs:
    brightest: {type: int, inputBinding: {position: 2}}
    bands: {type: File, inputBinding: {position: 5}}
  outputs:
    png: {type: File, outputBinding: {glob: true-colour.png}}

- class: CommandLineTool
  id: compute_ndvi
  label: Computes (NIR - red) / (NIR + red)
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
    nir: {type: File, inputBinding: {prefix: -A}}
    red: {type: File, inputBinding: {prefix: -B}}
  outputs:
    index: {type: File, outputBinding: {glob: ndvi.tif}}

- class: CommandLineTool
  id: colour_ndvi
  label: Colours the vegetation index
  requirements:
    ResourceRequirement: {coresMin: 1, ramMin: 256}
    ToolTimeLimit: {timelimit: 300}
    EnvVarRequirement: {envDef: {GDAL_PAM_ENABLED: "NO"}}
    InitialWorkDirRequirement:
      listing:
        - entryname: colours.txt
          entry: |
            -1    5  24  82
            -0.2  64 100 160
            0     200 182 142
            0.15  222 200 140
            0.3   214 214 120
            0.5   122 180 70
            0.7   30  120 40
            0.9   4   70  20
            nv    0   0   0
  hints:
    SoftwareRequirement: {packages: {gdal: {version: ["3"]}}}
  baseCommand: [gdaldem, color-relief, -q, -of, PNG]
  arguments:
    - {position: 2, valueFrom: colours.txt}
    - {position: 3, valueFrom: ndvi.png}
  inputs:
    index: {type: File, inputBinding: {position: 1}}
  outputs:
    png: {type: File, outputBinding: {glob: ndvi.png}}
