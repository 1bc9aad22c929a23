/* CUDA 13 and cuDNN 9 without a card, as far as ONNX Runtime's CUDA provider needs more than a 0 for an answer.

   Memory of the card is the host's. Copies copy; kernels, products and convolutions succeed and compute nothing.
   `no_card.py` adds all other functions, which return 0. NO_CARD_BYTES is how much memory the card has. cuDNN finds
   no memory for the plan with the number NO_CARD_PLAN. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_OF_MEMORY = 2, DEVICE_ALLOCATION_FAILED = 4003, HANDLE_BYTES = 4096 };

static size_t setting(const char *name, size_t usual) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : usual;
}

static int handle(void **made) { return (*made = calloc(1, HANDLE_BYTES)) ? 0 : OUT_OF_MEMORY; }

#ifdef CUDART
static size_t used;
static int failed;

static int allocate(void **made, size_t size) {
  *made = NULL;
  if (used + size > setting("NO_CARD_BYTES", (size_t)16 << 30)) return failed = OUT_OF_MEMORY;
  *made = calloc(1, size); /* what nothing computes is 0 */
  __atomic_add_fetch(&used, malloc_usable_size(*made), __ATOMIC_RELAXED);
  return 0;
}

static int release(void *memory) {
  if (memory) __atomic_sub_fetch(&used, malloc_usable_size(memory), __ATOMIC_RELAXED);
  free(memory);
  return 0;
}

int cudaMalloc(void **made, size_t size) { return allocate(made, size); }
int cudaMallocAsync(void **made, size_t size, void *stream) { return allocate(made, size); }
int cudaMallocFromPoolAsync(void **made, size_t size, void *pool, void *stream) { return allocate(made, size); }
int cudaFree(void *memory) { return release(memory); }
int cudaFreeAsync(void *memory, void *stream) { return release(memory); }
int cudaHostAlloc(void **made, size_t size, unsigned flags) { return (*made = malloc(size)) ? 0 : OUT_OF_MEMORY; }
int cudaMallocHost(void **made, size_t size) { return cudaHostAlloc(made, size, 0); }
int cudaFreeHost(void *memory) { free(memory); return 0; }
int cudaMemcpy(void *to, const void *from, size_t size, int kind) { memcpy(to, from, size); return 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  return cudaMemcpy(to, from, size, kind);
}
int cudaMemset(void *memory, int value, size_t size) { memset(memory, value, size); return 0; }
int cudaMemsetAsync(void *memory, int value, size_t size, void *stream) { return cudaMemset(memory, value, size); }
int cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  *total = setting("NO_CARD_BYTES", (size_t)16 << 30);
  *free_bytes = used < *total ? *total - used : 0;
  return 0;
}

int cudaGetDeviceCount(int *count) { *count = 1; return 0; }
int cudaGetDevice(int *device) { *device = 0; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaRuntimeGetVersion(int *version) { *version = 13000; return 0; }
const char *cudaGetErrorString(int code) { return code == OUT_OF_MEMORY ? "out of memory" : "unknown"; }
const char *cudaGetErrorName(int code) { return cudaGetErrorString(code); }
int cudaGetLastError(void) { int code = failed; failed = 0; return code; }

/* A card of compute capability 9.0 with 132 multiprocessors. The offsets are those of CUDA 13's cudaDeviceProp. */
int cudaGetDeviceProperties(char *properties, int device) {
  memset(properties, 0, 1000);
  strcpy(properties, "No Card");
  *(size_t *)(properties + 288) = setting("NO_CARD_BYTES", (size_t)16 << 30); /* totalGlobalMem */
  *(size_t *)(properties + 296) = 49152;                                      /* sharedMemPerBlock */
  *(int *)(properties + 304) = 65536;                                         /* regsPerBlock */
  *(int *)(properties + 308) = 32;                                            /* warpSize */
  *(int *)(properties + 320) = 1024;                                          /* maxThreadsPerBlock */
  for (int i = 0; i < 3; i++) ((int *)(properties + 324))[i] = i < 2 ? 1024 : 64; /* maxThreadsDim */
  for (int i = 0; i < 3; i++) ((int *)(properties + 336))[i] = i ? 65535 : 2147483647; /* maxGridSize */
  *(int *)(properties + 360) = 9;                                             /* major */
  *(int *)(properties + 384) = 132;                                           /* multiProcessorCount */
  return 0;
}
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  switch (attribute) {
    case 10: *value = 32; break;   /* warp size */
    case 16: *value = 132; break;  /* multiprocessors */
    case 75: *value = 9; break;    /* compute capability, major */
    case 76: *value = 0; break;    /* and minor */
    default: *value = 1024;
  }
  return 0;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *kernel, int size, size_t shared,
                                                           unsigned flags) { *blocks = 8; return 0; }
int cudaPointerGetAttributes(void *attributes, const void *memory) { memset(attributes, 0, 64); return 0; }
int cudaGetDriverEntryPointByVersion(const char *name, void **entry, unsigned version, unsigned long long flags,
                                     int *status) { *entry = NULL; if (status) *status = 1; return 0; }
void **__cudaRegisterFatBinary(void *binary) { static void *registered[64]; return registered; }

int cudaStreamCreate(void **stream) { return handle(stream); }
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { return handle(stream); }
int cudaStreamIsCapturing(void *stream, int *status) { *status = 0; return 0; }
int cudaStreamEndCapture(void *stream, void **graph) { return handle(graph); }
int cudaGraphInstantiate(void **executable, void *graph, unsigned long long flags) { return handle(executable); }
int cudaEventCreate(void **event) { return handle(event); }
int cudaEventCreateWithFlags(void **event, unsigned flags) { return handle(event); }
int cudaDeviceGetDefaultMemPool(void **pool, int device) { return handle(pool); }
#endif

#ifdef CUBLAS
int cublasCreate_v2(void **made) { return handle(made); }
#endif

#ifdef CUBLASLT
int cublasLtCreate(void **made) { return handle(made); }
#endif

#ifdef CUDNN
size_t cudnnGetVersion(void) { return 91400; }
const char *cudnnGetErrorString(int code) { return code ? "CUDNN_STATUS_INTERNAL_ERROR" : "CUDNN_STATUS_SUCCESS"; }
void cudnnGetLastErrorString(char *text, size_t size) { if (size) *text = 0; }
int cudnnCreate(void **made) { return handle(made); }
int cudnnCreateTensorDescriptor(void **made) { return handle(made); }
int cudnnCreateFilterDescriptor(void **made) { return handle(made); }
int cudnnCreateConvolutionDescriptor(void **made) { return handle(made); }
int cudnnCreateActivationDescriptor(void **made) { return handle(made); }
int cudnnCreatePoolingDescriptor(void **made) { return handle(made); }
int cudnnCreateReduceTensorDescriptor(void **made) { return handle(made); }
int cudnnBackendCreateDescriptor(int type, void **made) { return handle(made); }
int cudnnBackendDestroyDescriptor(void *made) { free(made); return 0; }

/* One engine and one plan for each convolution, without a workspace. */
int cudnnBackendGetAttribute(void *descriptor, int name, int type, long wanted, long *count, void *values) {
  enum { HEURISTIC_RESULTS = 202, ENGINE_CONFIG = 300, NOTES = 304, PLAN_WORKSPACE = 402, ENGINE = 1301 };
  long found = name == HEURISTIC_RESULTS || name == ENGINE_CONFIG || name == NOTES || name == PLAN_WORKSPACE ||
               name == ENGINE;
  if (wanted > 0 && values && (name == PLAN_WORKSPACE || name == ENGINE)) *(long *)values = 0;
  if (wanted > 0 && values && name == NOTES) *(int *)values = 0;
  if (count) *count = found;
  return 0;
}
int cudnnBackendFinalize(void *descriptor) {
  static size_t made;
  return ++made == setting("NO_CARD_PLAN", 0) ? DEVICE_ALLOCATION_FAILED : 0;
}
#endif
