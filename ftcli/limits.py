"""Every limit on input: what is larger, longer or more than this is refused, or shortened where it is only shown.

Files may come from anybody, and a small one can ask for more memory or time than a machine has. A limit that only
tunes the speed or the memory of the package's own work is where it is used.
"""

# Text files
MAX_JSON_BYTES = 2**25  # bytes; what is read of it takes many times as much memory
MAX_TOML_CHARACTERS = 2**17  # characters: a thousand paths; options are no data
MAX_TOML_KEY_PARTS = 100  # parts of a dotted key; the parser's time goes with their square
MAX_OPTIONS_FILE_BYTES = 64 * 2**20  # bytes
MAX_PATH_LIST_BYTES = 2**28  # bytes of a list of paths: two million long ones

# Images
MAX_IMAGE_BYTES = 2**28  # bytes of an encoded image
MAX_IMAGE_PIXELS = 2**30 // 12  # pixels: where Pillow, too, begins to think of a decompression bomb
MAX_SLOW_PIXELS = 2**22  # pixels of what Pillow decodes in Python, byte by byte: run-length BMP, plain PPM
MAX_SIDE_RATIO = 256  # longer side over shorter: resized to the height of a model's input, it still fits into memory
MAX_PNG_HEADER_BYTES = 2**20  # bytes before the pixels of a PNG in which an orientation is looked for

# Tables of images and labels
UNPACKED_BYTES = 2**28  # bytes that a file of any size may unpack to,
UNPACKED_RATIO = 32  # and, in addition, so many times its own size
ROW_BYTES = 2**10  # bytes that the program takes for a row in addition to its cells, rounded up
VALUE_BYTES = 4  # bytes to find a value in its row, while it is read
MAX_ROW_GROUP_BYTES = 2**29  # bytes, unpacked, of a row group behind a URL: a few of them are in memory at once
MAX_DICTIONARY_BYTES = 2**30  # bytes of a column whose repeated words are written out
MAX_LINE_BYTES = 2**24  # bytes of a line of text: the pixels of an image as JSON numbers
MAX_ROW_BYTES = 2**20  # bytes of a row of CSV
MAX_CELL_BYTES = 2**17  # bytes of a cell of it: a path, a label, a caption; as many as Python's own reader allows
MAX_TABLE_COLUMNS = 10_000  # columns of it
MAX_TEXT_ROWS = 50_000_000  # rows of it: each takes some hundred bytes however short it is
MAX_CIFAR_BYTES = 2**28  # bytes of a file of CIFAR; the largest has 155 MB

# Arrays of images, and shards
MAX_NPY_HEADER_BYTES = 10_000  # bytes; Python's own parser reads them
MAX_ARRAY_IMAGES = 10**7  # images; a file with holes says to hold as many as it likes
MAX_SHARDS = 100_000  # files
MAX_SHARD_MEMBERS = 2 * 10**7  # members of all shards of a split together
MAX_MEMBER_NAME_BYTES = 4096  # bytes, as of a path
MAX_PAX_BYTES = 2**16  # bytes of a member's extended header
MAX_TAR_PADDING = 2**20  # bytes of zeros behind the end of an archive
MAX_CLS_BYTES = 4096  # bytes of a .cls member, which holds one name
MAX_MEMBER_JSON_BYTES = 2**20  # bytes of a .json member
MAX_JSON_COLUMNS = 1000  # keys in all .json members of a split together
MAX_SHARD_TEXT_BYTES = 2**30  # bytes of the labels and values of a split together

# Classes
MAX_CLASSES = 1_000_000  # classes; larger integers are no class numbers but ids of something else
MAX_CLASSES_ANY_SET = 25_000  # classes that any set may have: as many as the largest of ImageNet, with some to spare
MAX_CLASSES_PER_EXAMPLE = 10  # classes that each of its examples allows a larger set
MAX_CLASS_NAME = 255  # characters, as of a folder's name
MAX_CONFUSION_CLASSES = 8_000  # classes of which every pair is counted: half a gigabyte

# Checkpoints and their config.json
HUB_TIMEOUT = 5  # seconds until the hub must have answered the first question
MAX_HEADER_BYTES = 16 * 2**20  # bytes of a header of safetensors; that of a network of a thousand blocks has a tenth
MAX_CHECKPOINT_DEPTH = 100  # dicts in dicts
MAX_CHECKPOINT_ENTRIES = 10**6  # entries in all dicts together
MAX_CONFIG_SIDE = 1024  # pixels of a model's input that a file may ask for; more has to be typed
MAX_CHECKED_SIDE = 1024  # pixels of an input with which a network is tried: a larger one could take all memory
MAX_CONFIG_NUMBER = 2**16  # an argument of an architecture: a width, a depth, a side
MAX_CONFIG_VALUES = 1000  # values in one argument, lists in lists counted through
MAX_CONFIG_CLASSES = 10**7  # classes
MAX_CONFIG_TEXT = 200  # characters
MAX_SIZE_RATIO = 4  # tensors and numbers of a network over those of its file: position tables and heads may grow
EXTRA_TENSORS = 4000  # tensors that a network may have in addition, for files that hold only a part of it
EXTRA_NUMBERS = 10**8  # numbers in all tensors that it may have in addition

# Reports and predictions
MAX_REPORT_BYTES = 256 * 2**20  # bytes; confusion matrices of a thousand classes on ten sets take half of it
MAX_REPORT_VALUES = 30 * 10**6  # values; with the next, less than a GB of memory and ten seconds
MAX_REPORT_LISTS = 200_000  # lists and objects
MAX_COMPARED_SETS = 1_000  # sets; more columns nobody reads, and each has a bootstrap of its own
MAX_COMPARED_REPORTS = 1_000  # reports found in a folder; more rows nobody reads, and each has its predictions
MAX_SEARCHED_FOLDERS = 100_000  # folders in which runs are looked for: a wrong one may hold a whole disk
MAX_PREDICTIONS = 10**7  # rows: two hundred sets as large as ImageNet's for validation, or as many seeds
MAX_PREDICTION_NAME_BYTES = 2**29  # bytes of all names together, repeated in every row

# Options
MAX_SEEDS = 10**5  # runs of one command
MAX_JOBS = 1024  # cells of a study at the same time on one machine
MAX_CELLS = 20_000  # of a study
MAX_LORA_RANK = 1024  # a layer of twice as many inputs and outputs has no fewer numbers of its own
MAX_MIXUP = 1000  # α of mixup; a larger one mixes half and half, as this does
MAX_DRAWS = 10_000  # balanced subsets, with a fit each
MAX_HEAD_SCALE = 10**4  # factor on a head; a larger one overflows
MAX_PATH_POINTS = 1000  # values of C; more lie closer together than the accuracy on ID-val can tell apart
MAX_KEPT_WEIGHTS = 64 * 2**30  # bytes of the weights that runs keep on disk for their averages
MAX_INPUT_SIDE = 4096  # pixels of a model's input, as typed
MAX_VIEWS = 4096  # random views of each image
MAX_WORKERS = 256  # processes that decode images
MAX_THREADS = 1024  # CPU threads of one process
MAX_COUNT = 2**31 - 1  # of a number that torch and PyArrow are to count with
MAX_SEED = 2**53  # the parser compares as floating point, which is exact up to here
MAX_THEORY_NUMBERS = 10**8  # numbers in the matrices [worlds, d, d] of a point
MAX_THEORY_LENGTH = 10.0  # of true weights and of a random head's entries: beyond, the equations are too stiff to solve

# What is shown of foreign text
MAX_MESSAGE = 2000  # characters of an error message
MAX_NAME_SHOWN = 200  # characters of one name, or of a path
MAX_REASON = 300  # characters of what a library says of an error
MAX_SUGGESTED_FROM = 1000  # values among which a similar one, or the path of a file, is looked for
