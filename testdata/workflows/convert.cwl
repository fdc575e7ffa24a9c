# A processing service of one tool: any image that GDAL reads becomes a picture that a browser shows.
cwlVersion: v1.2
class: CommandLineTool
id: convert
label: Converts an image to PNG
doc: Stretches the values between darkest and brightest over the range of a picture.
requirements:
  ResourceRequirement: {coresMin: 1, ramMin: 256}
  ToolTimeLimit: {timelimit: 300}
  EnvVarRequirement: {envDef: {GDAL_PAM_ENABLED: "NO"}}
hints:
  SoftwareRequirement: {packages: {gdal: {version: ["3"]}}}
baseCommand: [gdal_translate, -q, -of, PNG, -ot, Byte, -a_nodata, none]
arguments:
  - {position: 3, valueFrom: "0"}
  - {position: 4, valueFrom: "255"}
inputs:
  darkest:
    type: int
    default: 0
    label: The value that becomes black
    inputBinding: {prefix: -scale, position: 1}
  brightest:
    type: int
    default: 3000
    label: The value that becomes white
    inputBinding: {position: 2}
  image:
    type: File
    label: The image
    inputBinding: {position: 5}
  name:
    type: string
    default: picture.png
    label: The picture's file name
    inputBinding: {position: 6}
outputs:
  picture:
    type: File
    label: The picture (PNG)
    outputBinding: {glob: $(inputs.name)}
